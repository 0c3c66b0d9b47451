"""Exports appear whole or not at all, and replace nothing that somebody else wrote."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from easynlp_fashionklip.errors import InputError

_START = 2048


@contextmanager
def new_file(path: str | Path, mark: str) -> Iterator[TextIO]:
    """A UTF-8 text file to write; it takes its name when the block ends without an exception.

    Args:
        path: where; only a file that has `mark` near its start, an earlier export, is replaced.
        mark: words that the block writes within the first 2,048 characters.

    Raises:
        InputError: something else is there, or the file cannot be written.
    """
    target = Path(path).absolute()
    if _exists(target) and not _has_mark(target, mark):
        raise InputError(f"{target} exists and is not an earlier export of this kind; remove it or give another path.")
    temporary = _temporary(target)
    try:
        with _telling(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8", newline="") as file:
                yield file
            temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A folder to fill; it takes its name when the block ends without an exception.

    Raises:
        InputError: there is a file or a folder that is not empty, or the folder cannot be written.
    """
    target = Path(path).absolute()
    if _exists(target) and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} exists; remove it or give the path of an empty or new folder.")
    temporary = _temporary(target)
    try:
        with _telling(target):
            temporary.mkdir(parents=True)
            yield temporary
            temporary.replace(target)  # takes the place of an empty folder, never of one that has been filled meanwhile
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exists(target: Path) -> bool:
    with _telling(target):  # a name that is too long cannot even be asked for
        return target.exists()


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _has_mark(target: Path, mark: str) -> bool:
    if not target.is_file():
        return False
    with _telling(target), target.open(encoding="utf-8", errors="replace") as file:
        return mark in file.read(_START)


@contextmanager
def _telling(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror or error}); give another path.") from error
