"""Batches a share of which comes from one category, so that their negatives are hard to tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from easynlp_fashionklip.data.samplers.contrastive import GlobalBatchSampler
from easynlp_fashionklip.errors import InputError


class GroupedBatchSampler(GlobalBatchSampler):
    """Concept-aware batches: `group_ratio` of each comes from one category, the rest from the whole table.

    A category gives as many batches as its rows fill; where the categories are too small for every batch, the largest
    pieces that remain are taken. A last batch that is not full is of chance. Rows are mixed within a batch, so that
    every process's share has both kinds. See `GlobalBatchSampler` for the rest.
    """

    def __init__(
        self, groups: np.ndarray, micro_batch_size: int, *args: Any, group_ratio: float = 0.5, **options: Any
    ) -> None:
        """Take the categories.

        Args:
            groups: int (N,), the category of each row; negative for none.
            micro_batch_size: as in `GlobalBatchSampler`, also what follows.
            args: rank and what follows it.
            group_ratio: share of a batch that comes from one category, 0 to 1.
            options: the same by name.

        Raises:
            InputError: no row has a category, or there are too few rows.
        """
        super().__init__(len(groups), micro_batch_size, *args, **options)
        if not 0.0 <= group_ratio <= 1.0:
            raise InputError(f"group_ratio={group_ratio} is out of range; give a share from 0 to 1.")
        self.groups = np.asarray(groups)
        self.group_rows = round(group_ratio * self.contrastive_batch_size)
        if not (self.groups >= 0).any():
            raise InputError(
                "batch_sampler=grouped needs texts that name garments, but no row of the training table has a "
                "category; use batch_sampler=shuffle."
            )

    def order(self, epoch: int) -> np.ndarray:
        """The epoch's rows, batch after batch; see `GlobalBatchSampler.order`."""
        rng = self._generator(epoch)
        rows = rng.permutation(self.num_rows)
        sizes = self._sizes()
        batch_of = self._grouped(rows, int((sizes == self.contrastive_batch_size).sum()), rng)
        own = np.bincount(batch_of[batch_of >= 0], minlength=len(sizes))
        rest = np.flatnonzero(batch_of < 0)
        places = np.repeat(np.arange(len(sizes)), sizes - own)
        batch_of[rest[: len(places)]] = places
        kept = np.flatnonzero(batch_of >= 0)
        kept = kept[rng.permutation(len(kept))]
        return rows[kept[np.argsort(batch_of[kept], kind="stable")]]

    def _grouped(self, rows: np.ndarray, batches: int, rng: np.random.Generator) -> np.ndarray:
        """int64 (N,): the batch of each of the shuffled rows that is there for its category, -1 for the others."""
        batch_of = np.full(len(rows), -1, dtype=np.int64)
        if not self.group_rows or not batches:
            return batch_of
        groups = self.groups[rows]
        sorted_rows = np.argsort(groups, kind="stable")
        sorted_rows = sorted_rows[np.searchsorted(groups[sorted_rows], 0) :]
        piece_of, sizes = _pieces(groups[sorted_rows], self.group_rows)
        # Full pieces by chance, so that a category is met as often as it is large; then the largest of the others.
        order = np.lexsort((rng.random(len(sizes)), -sizes))[:batches]
        batch_of_piece = np.full(len(sizes), -1, dtype=np.int64)
        batch_of_piece[order] = rng.permutation(batches)[: len(order)]
        batch_of[sorted_rows] = batch_of_piece[piece_of]
        return batch_of


def _pieces(groups: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut each run of equal values into pieces of at most `size`: each row's piece, and the pieces' sizes."""
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    lengths = np.diff(np.append(starts, len(groups)))
    within = np.arange(len(groups)) - np.repeat(starts, lengths)
    piece_of = np.cumsum(within % size == 0) - 1
    return piece_of, np.bincount(piece_of)
