"""A spaCy pipeline whose concepts are the single words of a text: the control for what a phrase is beyond its words.

Without English's word lists a concept is a noun with what describes it (`graph/any_language.py`). Here every word but
English's stop words is a noun that nothing describes: no phrases, no heads, no is-a.
"""

from __future__ import annotations

from pathlib import Path

import spacy
from spacy.lang.en.stop_words import STOP_WORDS


def save_pipeline(folder: Path) -> None:
    """Write the pipeline, for `spacy_model=FOLDER`."""
    nlp = spacy.blank("xx")
    nlp.meta.update(name="single_words", version="1.0.0")
    ruler = nlp.add_pipe("attribute_ruler", name="tagger")  # by these names mining finds what it reads
    ruler.add(patterns=[[{"LOWER": {"NOT_IN": sorted(STOP_WORDS)}}]], attrs={"POS": "NOUN"})
    nlp.add_pipe("sentencizer", name="parser")
    nlp.to_disk(folder)
