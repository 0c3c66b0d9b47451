"""Which known concepts texts mention: mined phrases looked up by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from easynlp_fashionklip.graph.csr import offsets_of
from easynlp_fashionklip.graph.mining import mine

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spacy.language import Language

    from easynlp_fashionklip.graph.mined import MinedTexts


def match_phrases(
    texts: Iterable[str], id_of: Mapping[str, int], nlp: Language
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(offsets N + 1, ids ascending within a text) of the known concepts that N texts mention.

    Args:
        texts: N texts.
        id_of: the id of each known phrase.
        nlp: pipeline from `load_spacy`.
    """
    return match_mined(mine(texts, nlp), id_of)


def match_mined(mined: MinedTexts, id_of: Mapping[str, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As `match_phrases`, of texts that have been mined, by whatever engine."""
    known = np.array([id_of.get(phrase, -1) for phrase in mined.phrases], dtype=np.int64)
    ids = known[mined.phrase_index]
    text = np.repeat(np.arange(len(mined)), np.diff(mined.offsets))[ids >= 0]
    ids = ids[ids >= 0]
    order = np.lexsort((ids, text))
    return offsets_of(np.bincount(text, minlength=len(mined))), ids[order]
