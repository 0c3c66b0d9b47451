"""The unit of work of every engine: a chunk of distinct segments goes in, their concept phrases come out.

Chunks are cut from the texts alone, so that the parser sees the same segments side by side on every engine: a graph
does not depend on how many processes or machines read the texts, not even in the last bit of a tagger's score.
"""

from __future__ import annotations

import gc
from array import array
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import ThreadpoolController

from easynlp_fashionklip.graph.any_language import is_english
from easynlp_fashionklip.graph.mining import (
    ConceptPhrase,
    names_of_title,
    phrases_in_any_language,
    phrases_of_doc,
    phrases_of_title,
)
from easynlp_fashionklip.graph.normalise import read_segment, tokenise
from easynlp_fashionklip.graph.words import is_flat

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spacy.language import Language
    from spacy.tokens import Doc

CHUNK_SEGMENTS = 1024
_PARSED_AT_ONCE = 256
_REMEMBERED_WORDS = 200_000


@dataclass(frozen=True, slots=True)
class MinedChunk:
    """Concept phrases of S segments.

    `spelling[starts[i]:starts[i + 1]]` (int32) indexes `concepts`, the distinct (phrase, surface) pairs of the chunk in
    order of appearance, for segment i. `names[name_starts[i]:name_starts[i + 1]]` are the names that it gives as a
    title.
    """

    starts: NDArray[np.int32]
    spelling: NDArray[np.int32]
    concepts: list[ConceptPhrase]
    name_starts: NDArray[np.int32]
    names: list[str]

    def __len__(self) -> int:
        """Number of segments."""
        return len(self.starts) - 1


class SegmentMiner:
    """Reads segments with one pipeline."""

    def __init__(self, nlp: Language | None) -> None:
        """Args: nlp: pipeline from `load_spacy`; None reads everything as titles, with the word lists alone."""
        self._nlp = nlp

    def mine(self, segments: Sequence[str]) -> MinedChunk:
        """Mine the segments of one chunk, as `raw_segments` gives them; on one core."""
        with _threads().limit(limits=1, user_api="blas"), _no_collection():
            return self._mine(segments)

    def _mine(self, segments: Sequence[str]) -> MinedChunk:
        if self._nlp is not None and not is_english(self._nlp):
            return self._mine_parsed(self._nlp, segments)
        found: list[Sequence[ConceptPhrase]] = [()] * len(segments)
        names: list[frozenset[str]] = [frozenset()] * len(segments)
        parsed: dict[int, list[str]] = {}
        for i, raw in enumerate(segments):
            words = tokenise(read_segment(raw))
            if not words:
                continue
            if self._nlp is None or is_flat(words):
                names[i] = names_of_title(words)
                found[i] = phrases_of_title(words)
            else:
                parsed[i] = words
        with _memory_zone(self._nlp):
            for i, doc in zip(parsed, self._parse(list(parsed.values())), strict=True):
                found[i] = phrases_of_doc(doc)
        return _compact(found, names)

    def _mine_parsed(self, nlp: Language, segments: Sequence[str]) -> MinedChunk:
        """By the parse alone, in the pipeline's own words."""
        with _memory_zone(nlp):
            found = [phrases_in_any_language(doc) for doc in nlp.pipe(segments, batch_size=_PARSED_AT_ONCE)]
        return _compact(found, [frozenset()] * len(segments))

    def _parse(self, segments: list[list[str]]) -> Iterator[Doc]:
        if not segments or self._nlp is None:
            return iter(())
        from spacy.tokens import Doc

        vocab = self._nlp.vocab
        # A sentence's first word is capitalised for its place alone.
        docs = (Doc(vocab, words=[words[0].lower(), *words[1:]]) for words in segments)
        return iter(self._nlp.pipe(docs, batch_size=_PARSED_AT_ONCE))


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()  # it looks through the libraries of the process, which takes milliseconds


@contextmanager
def _no_collection() -> Iterator[None]:
    """Looking for cycles among the many small objects of a chunk takes a tenth of the time and finds none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _memory_zone(nlp: Language | None) -> AbstractContextManager[object]:
    """A zone at whose end spaCy forgets the words it has met, once it knows so many: they grow with the catalogue."""
    full = nlp is not None and len(nlp.vocab) > _REMEMBERED_WORDS and hasattr(nlp, "memory_zone")
    return nlp.memory_zone() if nlp is not None and full else nullcontext()


def _compact(found: Sequence[Sequence[ConceptPhrase]], names: Sequence[frozenset[str]]) -> MinedChunk:
    distinct: dict[tuple[str, str], int] = {}
    concepts: list[ConceptPhrase] = []
    spelling = array("i")
    for phrases in found:
        for concept in phrases:
            index = distinct.setdefault((concept.phrase, concept.surface), len(concepts))
            if index == len(concepts):
                concepts.append(concept)
            spelling.append(index)
    return MinedChunk(
        _starts([len(phrases) for phrases in found]),
        np.array(spelling, dtype=np.int32),
        concepts,
        _starts([len(one) for one in names]),
        [name for one in names for name in sorted(one)],
    )


def _starts(counts: Sequence[int]) -> NDArray[np.int32]:
    return np.cumsum([0, *counts], dtype=np.int32)
