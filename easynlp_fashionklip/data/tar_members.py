"""Members of a tar archive by byte offset: found without keeping a list of them, read by seek."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from easynlp_fashionklip.errors import InputError

BLOCK = tarfile.BLOCKSIZE
_ENCODING, _ERRORS = "utf-8", "surrogateescape"
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LONGEST_END = 1 << 20
# What stands before a member with a long name or other extras; tarfile itself reads those.
_EXTRAS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class Member(NamedTuple):
    """A file in an archive: where its header begins, where its content does, how long that is."""

    name: str
    header: int
    data: int
    size: int


def members(file: BinaryIO, path: Path, start: int, end: int, stop: int | None = None) -> Iterator[Member]:
    """The files of an archive from the header at byte `start` on; directories are passed over.

    Args:
        file: the archive.
        path: for messages.
        start: where a header is.
        end: the archive's size in bytes.
        stop: where a header is that is not wanted any more; None goes on to the end.

    Raises:
        InputError: a header is damaged, a member or the archive's end is cut off, or a member is no file (a link, a
            device).
    """
    offset = start
    while stop is None or offset < stop:
        info = _header(file, path, offset, end)
        if info is None:
            return _require_end(file, path, offset, end)
        following = info.offset_data + -(-info.size // BLOCK) * BLOCK
        if info.size < 0 or info.offset_data + info.size > end or following <= offset:
            raise InputError(f"{path} is cut off or damaged in its member {info.name!r}; write it again.")
        if info.type in _FILES and not info.issparse():
            yield Member(info.name, offset, info.offset_data, info.size)
        elif info.type != tarfile.DIRTYPE:
            raise InputError(f"{path}: its member {info.name!r} is no file (a link or the like); pack files only.")
        offset = following


def _require_end(file: BinaryIO, path: Path, offset: int, end: int) -> None:
    """An archive ends in blocks of zeros. Without them, or with more behind them, members would be lost unnoticed."""
    if offset >= end:
        raise InputError(f"{path} is cut off: the mark at its end is missing; write it again.")
    file.seek(offset)
    if end - offset > _LONGEST_END or any(file.read()):
        raise InputError(f"{path} goes on after the mark of its end; write one archive to a file.")


def _header(file: BinaryIO, path: Path, offset: int, end: int) -> tarfile.TarInfo | None:
    """The member whose header, or what stands before it, is at `offset`; None where only zeros or nothing follow."""
    file.seek(offset)
    block = file.read(BLOCK)
    if not any(block):
        return None
    try:
        info = tarfile.TarInfo.frombuf(block, _ENCODING, _ERRORS)
        if info.type not in _EXTRAS:
            info.offset_data = offset + BLOCK
            return info
        if not 0 <= info.size <= end - offset:  # tarfile would ask for that much memory
            raise ValueError("what stands before a member goes on behind the end of the file")
        file.seek(offset)
        return tarfile.TarFile(fileobj=file, mode="r", encoding=_ENCODING, errors=_ERRORS).next()
    except (tarfile.TarError, ValueError, OverflowError, EOFError, MemoryError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise InputError(
            f"{path} is no tar archive, or damaged at byte {offset:,} ({reason}); write it again."
        ) from error
