"""A directory is replaced as a whole: killed anywhere or out of disk, a reader finds the old one or the new one."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph import directory
from easynlp_fashionklip.graph.directory import read_directory, replace_directory
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.graph.tables import Pictures

FILES = ("a", "b")


def write(content: str) -> Callable[[Path], None]:
    def files(folder: Path) -> None:
        for name in FILES:
            (folder / name).write_text(content)

    return files


def read(folder: Path) -> str:
    try:
        contents = {(folder / name).read_text() for name in FILES}
    except OSError as error:
        raise InputError(f"{folder} is not whole") from error
    return contents.pop() if len(contents) == 1 else "of two writings"  # which nobody must be handed


@pytest.fixture()
def target(tmp_path: Path) -> Path:
    replace_directory(tmp_path / "graph", write("old"))
    return tmp_path / "graph"


_context = multiprocessing.get_context("fork")


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _replace_and_die(target: Path, step: str, exchanges: bool) -> None:
    """Write `new`, killed at the n-th call of a function, as in `rename 2`."""
    name, number = step.split()
    left = int(number)
    owner = {"mkdir": Path, "rename": Path, "_to_disk": directory, "_exchange": directory, "rmtree": directory.shutil}
    real = getattr(owner[name], name)

    def dying(*given: object, **more: object) -> object:
        nonlocal left
        left -= 1
        return _die() if not left else real(*given, **more)

    if not exchanges:
        directory._exchange = lambda *given: False
    setattr(owner[name], name, dying)
    replace_directory(target, write("new"))


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchanged", "renamed twice"])
@pytest.mark.parametrize("step", ["_to_disk 1", "_exchange 1", "rename 1", "rename 2", "rmtree 1", "rmtree 2"])
def test_killed_anywhere(target: Path, step: str, exchanges: bool) -> None:
    process = _context.Process(target=_replace_and_die, args=(target, step, exchanges), daemon=True)
    process.start()
    process.join(30)
    assert process.exitcode in (0, -signal.SIGKILL)
    expected = "new" if process.exitcode == 0 else None
    found = read_directory(target, read)
    assert found in ((expected,) if expected else ("old", "new"))
    replace_directory(target, write("newest"))  # and mends what was left
    assert read_directory(target, read) == "newest"
    assert [path.name for path in target.parent.iterdir()] == ["graph"]


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "quota")])
def test_a_full_disk_leaves_the_old_one(target: Path, number: int, words: str) -> None:
    def fail(folder: Path) -> None:
        (folder / "a").write_text("half")
        raise OSError(number, os.strerror(number))

    with pytest.raises(InputError, match=words):
        replace_directory(target, fail)
    assert read(target) == "old"
    assert [path.name for path in target.parent.iterdir()] == ["graph"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Longer writes fail, as they do on a full disk: inside every library, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 1000, 2500])
def test_no_space_for_a_graph(graph: ConceptGraph, tmp_path: Path, size: int) -> None:
    """The limit is reached in graph.json, in a Parquet file, or in the embeddings."""
    ids = graph.tables.product_ids
    pictures = Pictures(ids, np.arange(len(ids)), np.ones((len(ids), 200), np.float32))
    graph = graph.with_pictures(pictures)
    graph.save(tmp_path / "graph")
    before = {path.name: path.read_bytes() for path in (tmp_path / "graph").iterdir()}
    with files_of_at_most(size), pytest.raises(InputError, match="cannot be written: the file grew too large"):
        graph.save(tmp_path / "graph")
    assert {path.name: path.read_bytes() for path in (tmp_path / "graph").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["graph"]


def _replace_often(target: Path) -> None:
    for number in range(60):
        replace_directory(target, write(f"{number} " * 500))


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchanged", "renamed twice"])
def test_a_reader_beside_a_writer_sees_whole_ones(
    target: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr(directory, "_exchange", lambda *given: False)
    monkeypatch.setattr(directory, "_to_disk", lambda folder: None)  # more replacements a second
    writer = _context.Process(target=_replace_often, args=(target,), daemon=True)
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(read_directory(target, read))
    writer.join()
    assert writer.exitcode == 0
    assert read_directory(target, read) == "59 " * 500
    assert seen and "of two writings" not in seen
