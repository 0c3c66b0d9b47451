"""What every engine does around its own way of getting chunks mined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from easynlp_fashionklip.graph.engines.collect import Collector, SegmentIndex

if TYPE_CHECKING:
    from collections.abc import Generator

    from easynlp_fashionklip.graph.engines.chunk import MinedChunk
    from easynlp_fashionklip.graph.mined import MinedTexts, Progress


class Engine(ABC):
    """Mines texts. What comes out depends on the texts and the pipeline alone, not on the engine or its settings."""

    def mine(self, texts: Iterable[str], progress: Progress | None = None) -> MinedTexts:
        """Mine the concept phrases of texts.

        Args:
            texts: N texts; read once, in order, a little ahead of the mining.
            progress: called with the number of texts done since the last call.
        """
        index, collector = SegmentIndex(), Collector()
        with closing(self._mined(index.chunks(texts))) as chunks:
            for chunk in chunks:
                collector.add(chunk)
                _report(progress, collector.read_off(index))
        _report(progress, collector.read_off(index))
        return collector.result()

    @abstractmethod
    def _mined(self, chunks: Iterator[list[str]]) -> Generator[MinedChunk, None, None]:
        """The mined chunks in the order of `chunks`, which is asked for no more than memory can hold."""


def _report(progress: Progress | None, done: int) -> None:
    if progress is not None and done:
        progress(done)
