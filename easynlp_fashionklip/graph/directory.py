"""Replacing a directory as a whole: readers see the old one or the new one, whatever happens to the writer."""

from __future__ import annotations

import ctypes
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from easynlp_fashionklip.errors import InputError, storage_error
from easynlp_fashionklip.graph.lock import Locked, hold

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_READS, _PAUSE_SECONDS = 50, 0.05

T = TypeVar("T")


@contextmanager
def write_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name only when it is complete and on the disk."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_directory(target: Path, write: Callable[[Path], None]) -> None:
    """Write a new directory beside `target` and put it in its place; anything that fails leaves the old one.

    Args:
        target: absolute path of a directory, or of nothing yet.
        write: writes all files into the empty folder it is given.

    Raises:
        InputError: the disk is full, or the place cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with hold(target, wait=True):
        _remove_leftovers(target)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            temporary.mkdir()
            write(temporary)
            _to_disk(temporary)
            _swap(temporary, target)
        except OSError as error:
            raise storage_error(target, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _remove_leftovers(target: Path) -> None:
    """What killed writers left: nobody else writes while the lock is held."""
    if not target.exists() and _previous(target).exists():
        _previous(target).rename(target)
    for path in target.parent.iterdir():
        if path.name.startswith(f".{target.name}.") and path.name.endswith(".tmp"):
            shutil.rmtree(path, ignore_errors=True)


def _to_disk(folder: Path) -> None:
    """Flush the files and the folder: a rename that outlives a power cut must not name empty files."""
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _swap(temporary: Path, target: Path) -> None:
    """Put the new directory in place, at one instant where the system can.

    Elsewhere the old one is renamed away first; killed between the two renames, `restore_previous` brings it back.
    """
    previous = _previous(target)
    if target.exists() and not _exchange(temporary, target):
        shutil.rmtree(previous, ignore_errors=True)
        target.rename(previous)
    if not target.exists():
        try:
            temporary.rename(target)
        except OSError:
            if previous.exists():
                previous.rename(target)
            raise
    shutil.rmtree(previous, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two directories change places in one system call (Linux, renameat2); False where that is not possible."""
    function = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    if function is None:
        return False
    return bool(function(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def restore_previous(target: Path) -> None:
    """Bring back the directory that a writer, killed between two renames, left beside its place."""
    if target.exists() or not _previous(target).exists():
        return
    with suppress(Locked), hold(target):  # locked: its writer lives and is about to finish
        if not target.exists() and _previous(target).exists():
            _previous(target).rename(target)


def read_directory(target: Path, read: Callable[[Path], T]) -> T:
    """What `read` makes of the files of a directory, all of one writing: reads again if it was replaced meanwhile.

    Raises:
        InputError: what `read` raises for a directory that stays the same.
    """
    for _ in range(_READS):
        restore_previous(target)
        before = _identity(target)
        try:
            result = read(target)
        except InputError:
            being_replaced = before is None and _previous(target).exists()
            if before == _identity(target) and not being_replaced:
                raise
        else:
            if before == _identity(target):
                return result
        time.sleep(_PAUSE_SECONDS)
    return read(target)


def _identity(target: Path) -> tuple[int, int] | None:
    try:
        status = target.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
