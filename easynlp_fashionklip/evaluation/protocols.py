"""What counts as a hit, and among what one searches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from easynlp_fashionklip import metrics

CHUNK = 1024

Relevance = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class PairKeys:
    """Keys of N pairs: int64 (N,) of product and text; equal keys mean the same product or identical text."""

    product: np.ndarray
    text: np.ndarray

    def relevant(self, rows: np.ndarray) -> np.ndarray:
        """Bool (len(rows), N): pairs that share product or text with each of `rows`."""
        same_product = self.product[rows][:, None] == self.product[None, :]
        return same_product | (self.text[rows][:, None] == self.text[None, :])


@dataclass(frozen=True)
class FullGallery:
    """Every pair's picture (or text) queries all N texts (or pictures) of the table.

    A hit is an item of the query's own product or of a pair with identical text: real catalogues repeat both, and a
    diagonal would call the right picture wrong.
    """

    name: str = "full"
    hit_rule: str = "same product id or identical text"

    def ranks(self, queries: np.ndarray, gallery: np.ndarray, keys: PairKeys) -> np.ndarray:
        """Rank from 1 of each query's best relevant item; (N, d), (N, d) unit vectors -> int64 (N,)."""
        parts = [
            metrics.best_ranks(queries[rows] @ gallery.T, keys.relevant(rows)) for rows in _chunks(len(queries), CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _chunks(total: int, size: int) -> Iterator[np.ndarray]:
    for start in range(0, total, size):
        yield np.arange(start, min(start + size, total))
