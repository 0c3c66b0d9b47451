"""Rows with several captions or pictures, as that many pairs each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Expansion:
    """For each of M pairs, int64 or int32 (M,): the row, and which of its captions and pictures (from 0)."""

    rows: np.ndarray
    captions: np.ndarray
    pictures: np.ndarray

    def of(self, positions: np.ndarray) -> Expansion:
        """Those of some pairs."""
        return Expansion(self.rows[positions], self.captions[positions], self.pictures[positions])


def expand(count: int, captions: np.ndarray | None, pictures: np.ndarray | None) -> Expansion | None:
    """Every caption of a row with every picture of it, rows in order and picture by picture.

    Args:
        count: number of rows.
        captions: int64 (count,), how many each row has; None is one each.
        pictures: the same of pictures.

    Returns:
        None where every row is one pair.
    """
    if captions is None and pictures is None:
        return None
    ones = np.ones(count, dtype=np.int64)
    captions, pictures = ones if captions is None else captions, ones if pictures is None else pictures
    pairs = captions * pictures
    rows = np.repeat(np.arange(count, dtype=np.int64), pairs)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    return Expansion(rows, (within % captions[rows]).astype(np.int32), (within // captions[rows]).astype(np.int32))
