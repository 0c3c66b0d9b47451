"""Ragged integer tables as (offsets, values): row i is `values[offsets[i]:offsets[i + 1]]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def offsets_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Offsets (n + 1, int64) of rows with these counts (n)."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)])


def rows_of(offsets: NDArray[np.integer]) -> NDArray[np.int64]:
    """Row number of every value."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def take_rows(
    offsets: NDArray[np.int64], values: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows asked for, in that order, as a table of their own; row -1 is empty."""
    starts = np.where(rows >= 0, offsets[rows], 0)
    counts = np.where(rows >= 0, offsets[rows + 1] - offsets[rows], 0)
    taken = offsets_of(counts)
    return taken, values[np.arange(taken[-1]) - np.repeat(taken[:-1] - starts, counts)]


def from_pairs(
    rows: NDArray[np.int64], values: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The table of `count` rows with these (row, value >= 0) pairs, values of a row ascending and distinct."""
    if len(values) and not _in_order(rows, values):
        width = int(values.max()) + 1
        key = rows.astype(np.int64) * width + values
        key.sort()
        rows, values = np.divmod(key[np.append(True, key[1:] > key[:-1])], width)
    return np.searchsorted(rows, np.arange(count + 1)).astype(np.int64), values.astype(np.int64, copy=False)


def united(
    first: tuple[NDArray[np.int64], NDArray[np.int64]], second: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The table whose rows have the values of both tables' rows."""
    rows = np.concatenate([rows_of(first[0]), rows_of(second[0])])
    return from_pairs(rows, np.concatenate([first[1], second[1]]), len(first[0]) - 1)


def selected(
    table: tuple[NDArray[np.int64], NDArray[np.integer]], wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.integer]]:
    """The table with only those of its values that are `wanted`."""
    offsets, values = table
    kept = wanted[values]
    return offsets_of(np.bincount(rows_of(offsets)[kept], minlength=len(offsets) - 1)), values[kept]


def _in_order(rows: NDArray[np.int64], values: NDArray[np.int64]) -> bool:
    """Whether the pairs ascend already: the usual case, and sorting takes several times the memory of the pairs."""
    ascending = values[1:] > values[:-1]
    ascending &= rows[1:] == rows[:-1]
    ascending |= rows[1:] > rows[:-1]
    return bool(ascending.all())
