"""One writer at a time: a lock beside a graph's folder, which the kernel releases however its holder ends."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from easynlp_fashionklip.errors import InputError

try:
    import fcntl
except ImportError:  # not a POSIX system: writers there must take care themselves
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_held: dict[Path, int] = {}


class Locked(InputError):
    """Another process writes the graph."""


def _forget_in_child() -> None:
    """A forked child (a decoding worker) must not keep the lock of a parent that was killed."""
    for descriptor in _held.values():
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


@contextmanager
def hold(directory: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Be the only process that writes `directory`; a process that holds it already holds it once more.

    Args:
        directory: need not exist; the lock is a file `.<name>.lock` beside it, removed on leaving.
        wait: wait for the other process instead of raising.

    Raises:
        Locked: another process holds it; the message names its number and since when.
        InputError: the lock file cannot be made.
    """
    target = Path(directory).resolve()
    if target in _held or fcntl is None:
        yield
        return
    made = _make_parents(target)
    path = target.with_name(f".{target.name}.lock")
    try:
        descriptor = _acquire(path, target, wait)
        if descriptor is not None:
            _held[target] = descriptor
        try:
            yield
        finally:
            if descriptor is not None:
                del _held[target]
                path.unlink(missing_ok=True)  # before it is released: who opens it now sees that it is gone
                os.close(descriptor)
    finally:
        for parent in made:
            with suppress(OSError):  # not empty: something was written
                parent.rmdir()


def _make_parents(target: Path) -> list[Path]:
    """Make the folders above; those that were missing, deepest first."""
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target.parent} cannot be made ({error.strerror}); give another folder.") from error
    return missing


def _acquire(path: Path, target: Path, wait: bool) -> int | None:
    """A descriptor that holds the lock; None on a file system without locks."""
    told = False
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); give another folder.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            if not wait:
                raise Locked(
                    f"{target} is being written by {holder}; wait until it ends, or give another folder."
                ) from error
            if not told:
                logger.info("%s is being written by %s: waiting for it", target, holder)
                told = True
            time.sleep(_POLL_SECONDS)
            continue
        except OSError as error:
            logger.warning("%s cannot be locked (%s); take care that no one else writes %s", path, error, target)
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return None
        if _is_there(descriptor, path):
            _describe(descriptor)
            return descriptor
        os.close(descriptor)  # its last holder removed it in between


def _is_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _describe(descriptor: int) -> None:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    content = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
    with suppress(OSError):  # the lock holds without its description, for example when the disk is full
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content.encode(), 0)


def _holder(descriptor: int) -> str:
    try:
        known = json.loads(os.pread(descriptor, 4096, 0))
        host = "" if known["host"] == socket.gethostname() else f" on {known['host']}"
        return f"process {known['pid']}{host} since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
