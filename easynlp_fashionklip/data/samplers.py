"""Which rows make up which batch, on which process: the same batches however many processes share them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from easynlp_fashionklip.errors import InputError

SampleIndex = tuple[int, int]
"""(epoch, position): the epoch travels with the index, so persistent workers need not be told."""


class GlobalBatchSampler(Sampler[list[SampleIndex]]):
    """Training batches cut from one permutation of all rows.

    The permutation depends on `seed` and epoch alone. Global batch b is its rows b*G to (b+1)*G, where
    G = micro_batch_size * world_size, and rank r takes the r-th contiguous slice: 2 processes of 32 see together what
    1 process of 64 sees.

    Without `drop_last` the last global batch holds the rows left over, cut to a multiple of `world_size` so that all
    ranks have the same number. `len` is the number of batches of a whole epoch.
    """

    def __init__(
        self,
        num_rows: int,
        micro_batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = True,
    ) -> None:
        """Fix the cut.

        Raises:
            InputError: there are fewer rows than one global batch (`drop_last`) or than processes.
        """
        if micro_batch_size < 1:
            raise InputError(f"micro_batch_size={micro_batch_size} is not positive; give at least 1.")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size} processes")
        self.num_rows = num_rows
        self.micro_batch_size = micro_batch_size
        self.rank = rank
        self.world_size = world_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        self.start_batch = 0
        self._refuse_too_few_rows()

    @property
    def global_batch_size(self) -> int:
        """Rows of one batch over all processes."""
        return self.micro_batch_size * self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of the next iteration, from its first batch on."""
        self.epoch = epoch
        self.start_batch = 0

    def set_start_batch(self, batch: int) -> None:
        """Begin the next iteration at this batch of the epoch, to resume in its middle; call after `set_epoch`."""
        if not 0 <= batch <= len(self):
            raise ValueError(f"batch {batch} of an epoch of {len(self)}")
        self.start_batch = batch

    def __len__(self) -> int:
        full, left = divmod(self.num_rows, self.global_batch_size)
        return full if self.drop_last or left < self.world_size else full + 1

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        epoch = self.epoch
        order = self._permutation(epoch)
        for batch in range(self.start_batch, len(self)):
            for_all = order[batch * self.global_batch_size : (batch + 1) * self.global_batch_size]
            share = len(for_all) // self.world_size
            mine = for_all[self.rank * share : (self.rank + 1) * share]
            yield [(epoch, position) for position in mine.tolist()]

    def _permutation(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.num_rows)
        return np.random.default_rng([self.seed, epoch]).permutation(self.num_rows)

    def _refuse_too_few_rows(self) -> None:
        needed = self.global_batch_size if self.drop_last else self.world_size
        if self.num_rows < needed:
            raise InputError(
                f"the training table has {self.num_rows:,} usable rows but one batch takes {needed:,} "
                f"({self.micro_batch_size} on each of {self.world_size} processes); lower --micro_batch_size to at "
                f"most {self.num_rows // self.world_size}, use fewer processes, or give a larger table."
            )


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
