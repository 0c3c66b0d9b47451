"""Training batches of chance, and the cutting of any global batch into ranks' shares and micro-batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from easynlp_fashionklip.errors import InputError

SampleIndex = tuple[int, int]
"""(epoch, position): the epoch travels with the index, so persistent workers need not be told."""


class GlobalBatchSampler(Sampler[list[SampleIndex]]):
    """Contrastive batches cut from one order of all rows, yielded as the micro-batches of one rank.

    The order depends on the seed, the epoch and the size G of a contrastive batch alone. Contrastive batch b is its
    rows b*G to (b+1)*G, of which rank r of W takes rows r*n/W to (r+1)*n/W (n rows in the batch): shares differ by at
    most one row, and 2 processes of 32 see together what 1 process of 64 sees. A share is yielded as `micro_batches(b)`
    micro-batches of nearly the same size, as many on every rank (one row more than `micro_batch_size` is in some only
    where that is 1 and shares differ).

    Without `drop_last` the last contrastive batch holds the rows left over, unless they are fewer than the processes.
    Subclasses order the rows in other ways.

    `len` is the number of contrastive batches of a whole epoch, not of the micro-batches yielded.
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
        contrastive_batch_size: int = 0,
    ) -> None:
        """Fix the cut.

        Args:
            num_rows: N, the rows of the table.
            micro_batch_size: most rows that a process encodes at a time.
            rank: of this process.
            world_size: W, the number of processes.
            shuffle: in a new order each epoch; otherwise in the table's.
            seed: of the order.
            drop_last: leave out the rows that do not fill a contrastive batch.
            contrastive_batch_size: G, rows of a batch over all processes; 0 is micro_batch_size * world_size.

        Raises:
            InputError: there are fewer rows than one contrastive batch (`drop_last`) or than processes.
        """
        if micro_batch_size < 1:
            raise InputError(f"micro_batch_size={micro_batch_size} is not positive; give at least 1.")
        if contrastive_batch_size < 0:
            raise InputError(f"contrastive_batch_size={contrastive_batch_size} is negative; 0 chooses it.")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size} processes")
        self.num_rows = num_rows
        self.micro_batch_size = micro_batch_size
        self.rank = rank
        self.world_size = world_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.contrastive_batch_size = contrastive_batch_size or micro_batch_size * world_size
        self.epoch = 0
        self.start_batch = 0
        self._refuse_too_few_rows()

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration, from its first batch on."""
        self.epoch = epoch
        self.start_batch = 0

    def set_start_batch(self, batch: int) -> None:
        """Begin the next iteration at this contrastive batch of the epoch; call after `set_epoch`."""
        if not 0 <= batch <= len(self):
            raise ValueError(f"batch {batch} of an epoch of {len(self)}")
        self.start_batch = batch

    def __len__(self) -> int:
        full, left = divmod(self.num_rows, self.contrastive_batch_size)
        return full if self.drop_last or left < self.world_size else full + 1

    def batch_rows(self, batch: int) -> int:
        """How many rows contrastive batch `batch` has over all processes."""
        return min(self.contrastive_batch_size, self.num_rows - batch * self.contrastive_batch_size)

    def micro_batches(self, batch: int) -> int:
        """How many micro-batches make up each rank's share of contrastive batch `batch`, the same on all ranks."""
        smallest_share, uneven = divmod(self.batch_rows(batch), self.world_size)
        largest_share = smallest_share + bool(uneven)
        return min(smallest_share, -(-largest_share // self.micro_batch_size))

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        epoch, size = self.epoch, self.contrastive_batch_size
        order = self.order(epoch)
        for batch in range(self.start_batch, len(self)):
            rows = self.batch_rows(batch)
            first, end = (rank * rows // self.world_size for rank in (self.rank, self.rank + 1))
            share = order[batch * size + first : batch * size + end]
            for part in np.array_split(share, self.micro_batches(batch)):
                yield [(epoch, position) for position in part.tolist()]

    def order(self, epoch: int) -> np.ndarray:
        """int64 (at least the rows of all batches): the epoch's rows, no row twice, batch after batch."""
        if not self.shuffle:
            return np.arange(self.num_rows)
        return self._generator(epoch).permutation(self.num_rows)

    def _generator(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch])

    def _sizes(self) -> np.ndarray:
        """int64: rows of each contrastive batch, of the last one too that many processes would leave out."""
        full, left = divmod(self.num_rows, self.contrastive_batch_size)
        return np.array([self.contrastive_batch_size] * full + [left] * (left > 0 and not self.drop_last), np.int64)

    def _refuse_too_few_rows(self) -> None:
        if self.contrastive_batch_size < self.world_size:
            raise InputError(
                f"contrastive_batch_size={self.contrastive_batch_size} is smaller than the number of processes, "
                f"{self.world_size}; make it larger or use fewer processes."
            )
        needed = self.contrastive_batch_size if self.drop_last else self.world_size
        if self.num_rows >= needed:
            return
        if self.contrastive_batch_size != self.micro_batch_size * self.world_size:
            raise InputError(
                f"the training table has {self.num_rows:,} usable rows but one batch takes {needed:,}; lower "
                f"contrastive_batch_size to at most {self.num_rows}, or give a larger table."
            )
        raise InputError(
            f"the training table has {self.num_rows:,} usable rows but one batch takes {needed:,} "
            f"({self.micro_batch_size} on each of {self.world_size} processes); lower --micro_batch_size to at "
            f"most {self.num_rows // self.world_size}, use fewer processes, or give a larger table."
        )
