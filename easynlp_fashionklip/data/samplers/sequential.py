"""Evaluation batches: every row once, in order."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from easynlp_fashionklip.data.samplers.contrastive import SampleIndex
from easynlp_fashionklip.errors import InputError


class ShardedSequentialSampler(Sampler[list[SampleIndex]]):
    """Evaluation batches in order: each rank has one contiguous slice, every row is in exactly one of them.

    Slices differ by at most one row; concatenating the ranks' rows in rank order gives 0 to num_rows - 1.
    """

    def __init__(self, num_rows: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        """Take rank `rank`'s slice of `num_rows`, in batches of `batch_size` (the last may be smaller)."""
        if batch_size < 1:
            raise InputError(f"the evaluation batch size {batch_size} is not positive; give at least 1.")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size} processes")
        self.batch_size = batch_size
        self.first = rank * num_rows // world_size
        self.end = (rank + 1) * num_rows // world_size

    def __len__(self) -> int:
        return -(-(self.end - self.first) // self.batch_size)

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        for start in range(self.first, self.end, self.batch_size):
            yield [(0, position) for position in range(start, min(start + self.batch_size, self.end))]
