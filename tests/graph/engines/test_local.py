"""Mining in one process and in several; what comes out depends on the texts alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.engines import LocalEngine, chunk, collect, local
from easynlp_fashionklip.graph.engines.chunk import MinedChunk, SegmentMiner

if TYPE_CHECKING:
    from spacy.language import Language

Texts = Callable[[int], list[str]]
Everything = Callable[..., tuple[Any, ...]]


@pytest.fixture()
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 32 segments, so that few texts make many."""
    monkeypatch.setattr(collect.SegmentIndex.chunks, "__defaults__", (32,))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("processes", [2, 3])
def test_processes_change_nothing(nlp: Language, texts: Texts, everything: Everything, processes: int) -> None:
    many = texts(150)
    one = LocalEngine(nlp).mine(many)
    assert everything(LocalEngine(nlp, processes).mine(iter(many))) == everything(one)
    assert len(one) == 150
    assert all(one.mentions(i) for i in range(150))


def test_chunks_and_parsed_batches_change_nothing(
    nlp: Language, texts: Texts, everything: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for segments, at_once in ((2048, 256), (50, 256), (7, 3)):
        monkeypatch.setattr(collect.SegmentIndex.chunks, "__defaults__", (segments,))
        monkeypatch.setattr(chunk, "_PARSED_AT_ONCE", at_once)
        monkeypatch.setattr(collect, "_TEXTS_AT_ONCE", segments)
        results.append(everything(LocalEngine(nlp).mine(texts(120))))
    assert results[1:] == results[:1] * 2


@pytest.mark.usefixtures("small_chunks")
def test_graphs_are_equal_byte_for_byte(nlp: Language, texts: Texts, tmp_path: Any) -> None:
    many = texts(100)
    ids = [str(i) for i in range(100)]
    for processes in (1, 2):
        graph = build_graph(many, ids, nlp, engine=LocalEngine(nlp, processes))
        graph.save(tmp_path / str(processes))
    files = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert "concepts.parquet" in files
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("processes", [1, 2])
def test_progress_counts_every_text_once(texts: Texts, processes: int) -> None:
    done: list[int] = []
    LocalEngine(None, processes).mine(texts(300), done.append)
    assert sum(done) == 300
    assert len(done) > 2


def test_a_sentence_is_read_once(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    mine = SegmentMiner.mine

    def counted(self: SegmentMiner, segments: list[str]) -> MinedChunk:
        read.extend(segments)
        return mine(self, segments)

    monkeypatch.setattr(SegmentMiner, "mine", counted)
    mined = LocalEngine(None).mine(texts(50) * 3)
    assert len(mined) == 150
    assert len(read) == len(set(read))
    assert mined.mentions(0) == mined.mentions(50) == mined.mentions(100)


@pytest.mark.usefixtures("small_chunks")
def test_texts_are_read_only_a_little_ahead(texts: Texts) -> None:
    taken, done = 0, 0

    def counted() -> Iterator[str]:
        nonlocal taken
        for text in texts(2000):
            taken += 1
            assert taken - done < 400
            yield text

    def note(count: int) -> None:
        nonlocal done
        done += count

    LocalEngine(None, 2).mine(counted(), note)
    assert taken == done == 2000


def _killed(segments: list[str]) -> MinedChunk:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _broken(segments: list[str]) -> MinedChunk:
    raise ZeroDivisionError(segments[0])


@pytest.mark.usefixtures("small_chunks")
def test_a_killed_process_is_told_in_a_sentence(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_mine", _killed)
    with pytest.raises(InputError, match="mining_processes below 2"):
        LocalEngine(None, 2).mine(texts(100))


@pytest.mark.usefixtures("small_chunks")
def test_an_error_in_a_process_is_raised_here(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_mine", _broken)
    with pytest.raises(ZeroDivisionError):
        LocalEngine(None, 2).mine(texts(100))


@pytest.mark.usefixtures("small_chunks")
def test_an_error_while_reading_ends_the_processes(texts: Texts) -> None:
    def breaking() -> Iterator[str]:
        yield from texts(200)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalEngine(None, 2).mine(breaking())


@pytest.mark.parametrize("processes", [0, -2])
def test_impossible_numbers_of_processes(processes: int) -> None:
    with pytest.raises(InputError, match="mining_processes"):
        LocalEngine(None, processes)


def test_number_of_processes_by_cores() -> None:
    assert 1 <= local.process_count(-1) <= local.MOST_PROCESSES
    assert local.process_count(5) == 5


def test_a_packed_pipeline_reads_alike(nlp: Language, texts: Texts, everything: Everything) -> None:
    from easynlp_fashionklip.graph.pipeline import PortablePipeline

    loaded = PortablePipeline.of(nlp).load()
    assert everything(LocalEngine(loaded).mine(texts(30))) == everything(LocalEngine(nlp).mine(texts(30)))


# --------------------------------------------------------------------------------------------------------- odd texts


@pytest.mark.parametrize("nothing", [[], [""], ["\n \t"], ["", "...", "12 34", "£$%"]])
def test_nothing_to_read(nlp: Language, nothing: list[str]) -> None:
    mined = LocalEngine(nlp, 2).mine(nothing)
    assert len(mined) == len(nothing)
    assert len(mined.phrase_index) == 0
    assert mined.phrases == []


@pytest.mark.parametrize(
    "text",
    [
        "It is. They were there and then it rained.",
        "Чёрное платье с длинными рукавами.",
        "فستان أسود طويل مع أكمام.",
        "黑色连衣裙，长袖，圆领。",
        "\x00\x01\x07\x1b[31m",
        "\U0001f457\U0001f460",
        "\ud800 broken half of a pair",
        "a\u0301\u0302\u0303" * 50,
    ],
)
def test_texts_without_english_nouns_mention_nothing(nlp: Language, text: str) -> None:
    assert LocalEngine(nlp).mine([text]).mentions(0) == []


@pytest.mark.parametrize("noise", ["\x00", "\x07", "\U0001f457", "\u202eفستان\u202c", "连衣裙"])
def test_noise_beside_english_does_not_hide_it(nlp: Language, noise: str) -> None:
    mined = LocalEngine(nlp).mine([f"{noise} Black dress with long sleeves. {noise}"])
    assert {"black dress", "long sleeve"} <= set(mined.mentions(0))


@pytest.mark.parametrize(
    "text",
    [
        "black dress with long sleeves in cotton " * 2500,
        "x" * 100_000,
        " " * 100_000 + "Black dress.",
        "<" * 100_000,
        "in with " * 12_500,
        "dress, " * 14_000,
        "a-b" * 33_000,
        "\n" * 100_000,
        " - " * 33_000,
        "&" * 100_000,
    ],
    ids=["prose", "one word", "blanks", "brackets", "prepositions", "list", "hyphens", "lines", "dashes", "entities"],
)
def test_a_text_of_100_000_characters_takes_its_share_of_time(nlp: Language, text: str) -> None:
    import time

    started = time.process_time()
    mined = LocalEngine(nlp).mine([text, "Black dress."])
    assert time.process_time() - started < 20
    assert "black dress" in mined.mentions(1)
