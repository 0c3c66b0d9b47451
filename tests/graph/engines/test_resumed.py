"""Mining that goes on after a kill: the same result, and no chunk read twice."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import spacy

from easynlp_fashionklip.graph.engines import collect
from easynlp_fashionklip.graph.engines.base import Engine
from easynlp_fashionklip.graph.engines.chunk import MinedChunk, SegmentMiner
from easynlp_fashionklip.graph.engines.resumed import ResumedEngine, read_chunk

COLOURS = ("Black", "White", "Red", "Blue", "Green")
TEXTS = [f"{colour} {kind} with a Hood" for colour in COLOURS for kind in ("Dress", "Coat", "Hat")] + ["\ud800 Red Hat"]


class Killed(Engine):
    """Mines a number of chunks, then the process ends."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.mined = 0

    def _mined(self, chunks: Iterator[list[str]]) -> Generator[MinedChunk, None, None]:
        miner = SegmentMiner(spacy.blank("en"))
        for one in chunks:
            if self.mined == self.after:
                raise KeyboardInterrupt
            self.mined += 1
            yield miner.mine(one)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 3 segments, so that few texts make many."""
    monkeypatch.setattr(collect.SegmentIndex.chunks, "__defaults__", (3,))


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("damaged", [False, True])
def test_goes_on_where_it_was(tmp_path: Path, after: int, damaged: bool) -> None:
    whole = Killed(1000)
    expected = whole.mine(TEXTS)
    assert whole.mined > 3
    with pytest.raises(KeyboardInterrupt):
        ResumedEngine(Killed(after), tmp_path / "parts").mine(TEXTS)
    kept = sorted(tmp_path.glob("parts/mined-*.npz"))
    assert len(kept) == after
    if damaged and kept:
        kept[-1].write_bytes(kept[-1].read_bytes()[:50])
        assert read_chunk(kept[-1]) is None
    again = Killed(1000)
    found = ResumedEngine(again, tmp_path / "parts").mine(TEXTS)
    assert again.mined == whole.mined - after + bool(damaged and kept)
    assert found.phrases == expected.phrases and found.surfaces == expected.surfaces
    assert found.offsets.tolist() == expected.offsets.tolist()
    assert found.phrase_index.tolist() == expected.phrase_index.tolist()
    idle = Killed(0)
    assert ResumedEngine(idle, tmp_path / "parts").mine(TEXTS).phrases == expected.phrases
