"""Concepts of other languages by their parses; the parses are made by hand, as no such pipeline need be installed."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.mining import mine, phrases_in_any_language
from easynlp_fashionklip.graph.pipeline import load_spacy

# word: (part of speech, relation, which earlier (-) or later (+) word it hangs on, lemma)
SPANISH = {
    "vestido": ("NOUN", "ROOT", 0, "vestido"),
    "vestidos": ("NOUN", "ROOT", 0, "vestido"),
    "rojo": ("ADJ", "amod", -1, "rojo"),
    "rojos": ("ADJ", "amod", -1, "rojo"),
    "de": ("ADP", "case", 1, "de"),
    "algodón": ("NOUN", "nmod", -3, "algodón"),
    ".": ("PUNCT", "punct", -1, "."),
}
CHINESE = {
    "红色": ("ADJ", "amod", 2, ""),
    "棉": ("NOUN", "compound:nn", 1, ""),
    "连衣裙": ("NOUN", "ROOT", 0, ""),
}


def annotated(doc: Doc, lexicon: dict[str, tuple[str, str, int, str]]) -> Doc:
    for token in doc:
        part, relation, step, lemma = lexicon.get(token.text, ("X", "dep", 0, token.text))
        token.pos_, token.lemma_ = part, lemma
        token.head, token.dep_ = doc[min(max(token.i + step, 0), len(doc) - 1)], relation
    return doc


@pytest.fixture
def spanish() -> Iterator[Language]:
    nlp = spacy.blank("es")
    Language.component("toy_spanish", func=lambda doc: annotated(doc, SPANISH))
    nlp.add_pipe("toy_spanish", name="parser")
    yield nlp


def test_spanish_phrases_keep_their_order() -> None:
    nlp = spacy.blank("es")
    doc = annotated(
        Doc(nlp.vocab, ["Vestido", "rojo", "de", "algodón", "."]), {**SPANISH, "Vestido": SPANISH["vestido"]}
    )
    found = {concept.phrase: concept for concept in phrases_in_any_language(doc)}
    assert {phrase: concept.surface for phrase, concept in found.items()} == {
        "vestido": "vestido",
        "vestido rojo": "vestido rojo",
        "vestido de algodón": "vestido de algodón",
        "vestido de algodón rojo": "vestido rojo de algodón",
    }
    assert found["vestido de algodón rojo"].modifiers == ("de algodón", "rojo")
    assert {concept.head for concept in found.values()} == {"vestido"}


def test_chinese_needs_no_blanks_and_no_lemmas() -> None:
    nlp = spacy.blank("zh")
    doc = annotated(Doc(nlp.vocab, ["红色", "棉", "连衣裙"], spaces=[False] * 3), CHINESE)
    assert [concept.surface for concept in phrases_in_any_language(doc)] == [
        "连衣裙",
        "红色连衣裙",
        "棉连衣裙",
        "红色棉连衣裙",
    ]


def test_a_graph_of_spanish_texts(spanish: Language) -> None:
    texts = ["vestido rojo", "vestidos rojos de algodón", "vestido"]
    graph = build_graph(texts, ["a", "b", "c"], spanish, min_frequency=1)
    dress, red = graph.find("vestido"), graph.find("vestido rojo")
    assert dress is not None and red is not None
    assert dress.frequency == 3 and red.frequency == 2
    assert graph.parents(red.concept_id) == [dress.concept_id]
    assert len(mine(texts, spanish)) == 3


def package(monkeypatch: pytest.MonkeyPatch, name: str, load: Callable[..., Language]) -> None:
    module = types.ModuleType(name)
    module.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)


def test_a_spanish_pipeline_keeps_its_lemmas(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def load(exclude: list[str]) -> Language:
        asked.append(exclude)
        nlp = spacy.blank("es")
        for name in ("morphologizer", "parser"):
            nlp.add_pipe(name)
        return nlp

    package(monkeypatch, "es_toy", load)
    assert load_spacy("es_toy").lang == "es"
    assert "lemmatizer" not in asked[-1]


def test_a_pipeline_that_does_not_fit_says_what_does(monkeypatch: pytest.MonkeyPatch) -> None:
    package(monkeypatch, "zh_blank", lambda exclude: spacy.blank("zh"))
    with pytest.raises(InputError, match=r"no tagger and no parser.*give a zh pipeline .* or train with cva=false"):
        load_spacy("zh_blank")


def test_a_text_without_a_parse_has_its_words() -> None:
    text = "Extremely light weight, approximately 150g. Easy to carry, use as it comes with a tight lid."
    doc = spacy.blank("xx")(text)  # spaCy splits off "g." and then loses where each token's children are
    for token in doc:
        token.pos_ = "NOUN"
    found = [one.phrase for one in phrases_in_any_language(doc)]
    assert found == ["extremely", "light", "weight", "approximately", "easy", "to", "carry", "use", "as", "it",
                     "comes", "with", "a", "tight", "lid"]  # fmt: skip
