"""What surrounds the engines: texts to chunks of distinct segments, and mined chunks to `MinedTexts`."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from easynlp_fashionklip.graph.csr import from_pairs, rows_of, take_rows
from easynlp_fashionklip.graph.engines.chunk import CHUNK_SEGMENTS, MinedChunk
from easynlp_fashionklip.graph.mined import MinedTexts
from easynlp_fashionklip.graph.mining import ConceptPhrase
from easynlp_fashionklip.graph.normalise import raw_segments

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEY_BYTES = 12
_TEXTS_AT_ONCE = 8192
_TEXTS_PER_CHUNK = 4096


class SegmentIndex:
    """Numbers the distinct segments of texts: shop texts repeat themselves, each sentence is read once.

    A segment is known by 12 bytes of its hash, a text by the numbers of its segments: about 150 bytes for each
    distinct segment and 4 for each segment stay in memory.
    """

    def __init__(self) -> None:
        self._row: dict[bytes, int] = {}
        self._rows = array("i")
        self._ends = array("q", [0])
        self._needed = array("i")

    def __len__(self) -> int:
        """Number of texts so far."""
        return len(self._needed)

    def chunks(self, texts: Iterable[str], size: int = CHUNK_SEGMENTS) -> Iterator[list[str]]:
        """The segments not met before, in order of appearance, `size` at a time; at the latest after 4096 texts.

        Where all texts repeat others a chunk may be empty; it still says that there has been progress.
        """
        new: list[str] = []
        since = 0
        for text in texts:
            new += self._add(text)
            since += 1
            while len(new) >= size or since >= _TEXTS_PER_CHUNK:
                yield new[:size]
                new, since = new[size:], 0
        if new:
            yield new

    def _add(self, text: str) -> list[str]:
        new = []
        for segment in raw_segments(text):
            key = hashlib.blake2b(segment.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
            row = self._row.get(key)
            if row is None:
                row = self._row[key] = len(self._row)
                new.append(segment)
            self._rows.append(row)
        self._ends.append(len(self._rows))
        self._needed.append(len(self._row))
        return new

    def complete(self, known: int) -> int:
        """How many texts have all their segments among the first `known`."""
        return int(np.searchsorted(np.frombuffer(self._needed, dtype=np.int32), known, side="right"))

    def rows(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(offsets from 0, segment numbers) of some texts."""
        ends = np.array(self._ends[start : stop + 1], dtype=np.int64)
        return ends - ends[0], np.array(self._rows[ends[0] : ends[-1]], dtype=np.int64)


class _Table:
    """A ragged table of int32 that grows."""

    def __init__(self) -> None:
        self._starts = array("q", [0])
        self._values = array("i")

    def extend(self, starts: NDArray[np.int32], values: NDArray[np.int32]) -> None:
        self._starts.frombytes((starts[1:].astype(np.int64) + len(self._values)).tobytes())
        self._values.frombytes(values.astype(np.int32).tobytes())

    def append(self, values: Iterable[int]) -> None:
        self._values.extend(values)
        self._starts.append(len(self._values))

    def take(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(offsets, values) of some rows."""
        starts = np.frombuffer(self._starts, dtype=np.int64)
        offsets, values = take_rows(starts, np.frombuffer(self._values, dtype=np.int32), rows)
        return offsets, values.astype(np.int64)

    def __len__(self) -> int:
        return len(self._starts) - 1


class Collector:
    """Joins mined chunks, in order, and reads off what each text mentions."""

    def __init__(self) -> None:
        self._concepts: dict[str, int] = {}
        self._heads: list[str] = []
        self._modifiers: list[tuple[str, ...]] = []
        self._spellings: dict[tuple[int, str], int] = {}
        self._phrase_of = array("i")
        self._words: dict[str, int] = {}
        self._words_of_phrase = _Table()
        self._spellings_of_segment = _Table()
        self._names_of_segment = _Table()
        self._counts = np.zeros(0, dtype=np.int64)
        self._found = array("i")
        self._offsets = array("q", [0])

    @property
    def texts(self) -> int:
        """Number of texts read off so far."""
        return len(self._offsets) - 1

    @property
    def segments(self) -> int:
        """Number of segments known."""
        return len(self._spellings_of_segment)

    def add(self, chunk: MinedChunk) -> None:
        """Take in the next chunk."""
        local = np.array([self._spelling(concept) for concept in chunk.concepts], dtype=np.int32)
        names = np.array([self._words.setdefault(name, len(self._words)) for name in chunk.names], dtype=np.int32)
        self._spellings_of_segment.extend(chunk.starts, local[chunk.spelling])
        self._names_of_segment.extend(chunk.name_starts, names)

    def _spelling(self, concept: ConceptPhrase) -> int:
        phrase = self._concepts.setdefault(concept.phrase, len(self._concepts))
        if phrase == len(self._heads):
            self._heads.append(concept.head)
            self._modifiers.append(concept.modifiers)
            words = (word for modifier in concept.modifiers for word in modifier.split())
            self._words_of_phrase.append(self._words.setdefault(word, len(self._words)) for word in words)
        index = self._spellings.setdefault((phrase, concept.surface), len(self._spellings))
        if index == len(self._phrase_of):
            self._phrase_of.append(phrase)
        return index

    def read_off(self, index: SegmentIndex) -> int:
        """Read off the texts whose segments are all known; the number of them."""
        before, stop = self.texts, index.complete(self.segments)
        self._counts = np.pad(self._counts, (0, len(self._phrase_of) - len(self._counts)))
        for start in range(before, stop, _TEXTS_AT_ONCE):
            self._read_off(*index.rows(start, min(stop, start + _TEXTS_AT_ONCE)))
        return stop - before

    def _read_off(self, offsets: NDArray[np.int64], segments: NDArray[np.int64]) -> None:
        texts = rows_of(offsets)
        per_segment, spelling = self._spellings_of_segment.take(segments)
        text = texts[rows_of(per_segment)]
        phrase = np.frombuffer(self._phrase_of, dtype=np.int32)[spelling].astype(np.int64)
        kept = ~self._named(texts, segments, text, phrase)
        self._counts += np.bincount(spelling[kept], minlength=len(self._counts))
        ends, found = from_pairs(text[kept], phrase[kept], len(offsets) - 1)
        self._offsets.frombytes((ends[1:] + len(self._found)).tobytes())
        self._found.frombytes(found.astype(np.int32).tobytes())

    def _named(
        self,
        texts: NDArray[np.int64],
        segments: NDArray[np.int64],
        text: NDArray[np.int64],
        phrase: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Which (text, phrase) pairs are modified by a name that the text's own title gives."""
        per_segment, name = self._names_of_segment.take(segments)
        if not len(name):
            return np.zeros(len(phrase), dtype=np.bool_)
        width = len(self._words)
        given = np.unique(texts[rows_of(per_segment)] * width + name)
        per_phrase, word = self._words_of_phrase.take(phrase)
        pair = rows_of(per_phrase)
        hit = np.isin(text[pair] * width + word, given)
        return np.bincount(pair[hit], minlength=len(phrase)) > 0

    def result(self) -> MinedTexts:
        """Everything; texts not read off are not in it."""
        surfaces: list[dict[str, int]] = [{} for _ in self._heads]
        for (phrase, surface), spelling in self._spellings.items():
            surfaces[phrase][surface] = int(self._counts[spelling])
        return MinedTexts(
            offsets=np.array(self._offsets, dtype=np.int64),
            phrase_index=np.array(self._found, dtype=np.int32),
            phrases=list(self._concepts),
            heads=self._heads,
            modifiers=self._modifiers,
            surfaces=surfaces,
        )
