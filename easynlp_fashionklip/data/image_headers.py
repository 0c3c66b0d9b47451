"""Size and completeness of JPEG and PNG files from a few bytes, without decoding.

References: JPEG markers in ITU-T T.81 annex B, PNG chunks in ISO/IEC 15948.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"

_TAIL_BYTES = 4096
_JPEG_END = b"\xff\xd9"
_PNG_END = b"IEND\xaeB`\x82"
_START_OF_SCAN = 0xDA
# SOF0..SOF15 without DHT (C4), JPG (C8) and DAC (CC), which share the range.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


class BrokenHeaderError(ValueError):
    """The file begins as a JPEG or PNG but its header is damaged or cut off."""


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise BrokenHeaderError("it is truncated in its header")
    return data


def _next_marker(file: BinaryIO) -> int:
    if _read(file, 1) != b"\xff":
        raise BrokenHeaderError("its header is damaged")
    while (marker := _read(file, 1)[0]) == 0xFF:
        pass
    return marker


def _jpeg_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height from the frame header; leaves the file where the scan's marker segment has been passed."""
    file.seek(2)
    size: tuple[int, int] | None = None
    while True:
        marker = _next_marker(file)
        if marker in _BARE_MARKERS:
            continue
        length = struct.unpack(">H", _read(file, 2))[0] - 2
        if length < 0:
            raise BrokenHeaderError("its header is damaged")
        if marker in _FRAME_MARKERS:
            _, height, width = struct.unpack(">BHH", _read(file, 5))
            size = (width, height)
            length -= 5
        file.seek(length, os.SEEK_CUR)
        if marker == _START_OF_SCAN:
            if size is None:
                raise BrokenHeaderError("its header is damaged")
            return size


def _png_size(file: BinaryIO) -> tuple[int, int]:
    file.seek(len(PNG_START))
    _, kind, width, height = struct.unpack(">I4sII", _read(file, 16))
    if kind != b"IHDR":
        raise BrokenHeaderError("its header is damaged")
    return width, height


def _has_end(file: BinaryIO, end: bytes, earliest: int) -> bool:
    """Whether `end` stands near the end of the file or, failing that, anywhere after byte `earliest`."""
    size = file.seek(0, os.SEEK_END)
    for start in (max(earliest, size - _TAIL_BYTES), earliest):
        file.seek(start)
        if end in file.read():
            return True
    return False


def picture_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height in pixels of a JPEG or PNG file; None for any other kind of file.

    Raises:
        BrokenHeaderError: the header is damaged or cut off.
    """
    file.seek(0)
    start = file.read(len(PNG_START))
    if start.startswith(JPEG_START):
        return _jpeg_size(file)
    if start == PNG_START:
        return _png_size(file)
    return None


def is_complete(file: BinaryIO) -> bool:
    """Whether a JPEG or PNG file reaches its end marker, which a truncated file lacks. Call after `picture_size`."""
    after_header = file.tell()
    file.seek(0)
    end = _JPEG_END if file.read(3) == JPEG_START else _PNG_END
    return _has_end(file, end, after_header)
