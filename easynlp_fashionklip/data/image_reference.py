"""A catalogue's picture cell: base64 of a picture file, or a path relative to the table's folder."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.records import ImageReference

_SHOWN = 60
_LONGEST_PATH = 1024
_SHORTEST_ENCODED = 32
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,")
WEB_ADDRESS = re.compile(r"(https?|ftp|s3|oss|gs)://")
_BASE64_ALPHABET = re.compile(r"[A-Za-z0-9+/_=\s-]+")
# Base64 of the first bytes of JPEG, PNG, GIF, WebP and TIFF files; '/9j/' alone could be a path.
_ENCODED_STARTS = ("/9j/", "_9j_", "iVBORw0KGgo", "R0lGOD", "UklGR", "SUkqA", "TU0AK")
_URLSAFE = str.maketrans("-_", "+/")


def is_encoded(value: str) -> bool:
    """Whether the cell holds base64 rather than a path: it starts as encoded pictures do, or no path is that long."""
    if len(value) > _LONGEST_PATH or _DATA_URL.match(value):
        return True
    return (
        len(value) >= _SHORTEST_ENCODED
        and value.startswith(_ENCODED_STARTS)
        and _BASE64_ALPHABET.fullmatch(value) is not None
    )


def decode_base64(value: str, origin: str) -> bytes:
    """The bytes of a standard or URL-safe base64 cell, padded or not, with or without a `data:` prefix.

    Raises:
        InputError: naming `origin` when the value is not base64.
    """
    text = "".join(_DATA_URL.sub("", value, count=1).split()).rstrip("=").translate(_URLSAFE)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(
            f"{origin}: not valid base64 ({error}); encode the picture's file again, or give a path."
        ) from error


def image_reference(value: str, folder: Path, where: str) -> ImageReference:
    """Turn a picture cell into a reference without opening the picture.

    Args:
        value: the cell; a path is taken relative to `folder`.
        folder: the table's folder.
        where: how messages name the cell, like "train.csv, line 7, column 'image'".

    Raises:
        InputError: the cell is empty, a web address, or broken base64.
    """
    value = value.strip()
    if not value:
        raise InputError(f"{where}: the picture is missing (the cell is empty); give a path or base64.")
    if is_encoded(value):
        origin = f"{where}, value '{value[:12]}...' ({len(value):,} characters of base64)"
        return ImageReference(origin, encoded=decode_base64(value, origin))
    shown = value if len(value) <= _SHOWN else f"...{value[-_SHOWN:]}"
    origin = f"{where}, value {shown!r}"
    if WEB_ADDRESS.match(value):
        raise InputError(f"{origin}: web addresses are not fetched; download the picture and give its path.")
    if "\0" in value:
        raise InputError(f"{origin}: a path cannot hold a NUL character; mend the cell.")
    return ImageReference(origin, path=folder / value)
