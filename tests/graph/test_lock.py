"""One writer at a time, told who the other is; the lock goes with its holder."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from easynlp_fashionklip.graph import lock
from easynlp_fashionklip.graph.lock import Locked, hold

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks are of POSIX")

HOLDER = """
import os, sys, time
from easynlp_fashionklip.graph.lock import hold
with hold(sys.argv[1]):
    if len(sys.argv) == 2 or os.fork() == 0:  # with a child, it is the child that says so: it has begun by then
        print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held_by_another(target: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(target), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # it was killed already
                os.killpg(process.pid, signal.SIGKILL)


def test_the_second_is_told_and_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with held_by_another(tmp_path / "graph") as first:
        with pytest.raises(Locked, match=f"is being written by process {first.pid} since 2"), hold(tmp_path / "graph"):
            pass
        with hold(tmp_path / "other"):
            pass
        first.kill()
        first.wait()
        with hold(tmp_path / "graph"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_outlives_its_parent_does_not_keep_the_lock(tmp_path: Path) -> None:
    with held_by_another(tmp_path / "graph", "fork") as first:
        first.kill()
        first.wait()
        with hold(tmp_path / "graph"):
            assert json.loads((tmp_path / ".graph.lock").read_text())["pid"] == os.getpid()


def _append(target: Path, path: Path) -> None:
    for _ in range(20):
        with hold(target, wait=True):
            number = int(path.read_text())
            time.sleep(0.001)
            path.write_text(str(number + 1))


def test_waiting_writers_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes count to 60 together, the lock file coming and going."""
    monkeypatch.setattr(lock, "_POLL_SECONDS", 0.001)
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_append, args=(tmp_path / "graph", counter), daemon=True) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert counter.read_text() == "60"


def test_the_holder_may_lock_again(tmp_path: Path) -> None:
    with hold(tmp_path / "graph"):
        with hold(tmp_path / "graph"):
            pass
        assert (tmp_path / ".graph.lock").exists()
    assert not (tmp_path / ".graph.lock").exists()


def test_folders_made_for_the_lock_go_with_it_when_nothing_was_written(tmp_path: Path) -> None:
    with hold(tmp_path / "a" / "b" / "graph"):
        pass
    assert list(tmp_path.iterdir()) == []
    with hold(tmp_path / "a" / "b" / "graph"):
        (tmp_path / "a" / "kept").write_text("")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["kept"]
