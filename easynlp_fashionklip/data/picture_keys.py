"""Which rows of a table have the same picture file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from easynlp_fashionklip.data.pairs import PairTable, stable_key

_CHUNK = 1 << 20


def picture_keys(table: PairTable, every: bool = False) -> np.ndarray:
    """An int64 for each of the N rows, equal where the bytes of the pictures are.

    Only files whose size another file has are read; with `every`, all are, for keys that hold beyond this table. A file
    that cannot be is like no other: whoever decodes it will say what is wrong with it.
    """
    sizes, keys = np.full(len(table), -1, dtype=np.int64), np.zeros(len(table), dtype=np.int64)
    for position in range(len(table)):
        image = table.pair(position).image
        if image is None:
            raise ValueError("the table has no pictures.")
        if image.encoded is not None:
            sizes[position], keys[position] = len(image.encoded), _key_of_bytes(image.encoded)
        elif image.path is not None:
            sizes[position], keys[position] = _size(image.path), stable_key(str(image.path))
    for position in range(len(table)) if every else _ambiguous(sizes, keys).tolist():
        path = None if sizes[position] < 0 else table.pair(position).image.path  # type: ignore[union-attr]
        keys[position] = keys[position] if path is None else _key_of_file(path, int(keys[position]))
    return keys


def _ambiguous(sizes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Rows whose size is also that of a row with another key, by ascending size."""
    if not len(sizes):
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((keys, sizes))
    starts = np.flatnonzero(np.append(True, np.diff(sizes[order]) != 0))
    first, last = keys[order][starts], keys[order][np.append(starts[1:], len(order)) - 1]
    several = np.repeat((first != last) & (sizes[order][starts] >= 0), np.diff(np.append(starts, len(order))))
    return order[several]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _key_of_bytes(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)


def _key_of_file(path: Path, otherwise: int) -> int:
    digest = hashlib.blake2b(digest_size=8)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return otherwise
    return int.from_bytes(digest.digest(), "little", signed=True)
