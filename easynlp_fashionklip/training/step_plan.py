"""How contrastive batches make up optimizer steps and epochs, and how micro-batches make up contrastive batches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Batch = dict[str, Any]


@dataclass(frozen=True)
class StepPlan:
    """An epoch has `batches_per_epoch` contrastive batches, an optimizer step `accumulation` (an epoch's last: fewer).

    `epochs` may be broken: the last epoch then ends early.
    """

    batches_per_epoch: int
    epochs: float
    accumulation: int = 1

    @property
    def total_batches(self) -> int:
        """Of the whole run."""
        return math.ceil(round(self.batches_per_epoch * self.epochs, 6))  # 10 * 1.1 is more than 11 by a rounding

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return sum(math.ceil(self.epoch_end(epoch) / self.accumulation) for epoch in range(math.ceil(self.epochs)))

    def epoch_end(self, epoch: int) -> int:
        """How many batches of an epoch the run takes."""
        return min(self.batches_per_epoch, self.total_batches - epoch * self.batches_per_epoch)

    def ends_step(self, epoch: int, batches: int) -> bool:
        """Whether an optimizer step ends after so many batches of an epoch."""
        return batches >= self.epoch_end(epoch) or batches % self.accumulation == 0

    def batches_of_step(self, epoch: int, batch: int) -> int:
        """How many batches accumulate in the optimizer step that this batch belongs to."""
        first = batch // self.accumulation * self.accumulation
        return min(self.accumulation, self.epoch_end(epoch) - first)


def contrastive_batches(
    micro_batches: Iterable[Batch], counts: Callable[[int], int], start: int = 0
) -> Iterator[list[Batch]]:
    """Collect consecutive micro-batches.

    Args:
        micro_batches: of one process, in order.
        counts: how many of them contrastive batch b has on each process.
        start: number of the first contrastive batch.
    """
    number, collected = start, []
    for micro_batch in micro_batches:
        micro_batch.pop("label_ids", None)  # EasyNLP wants it; there are no labels
        collected.append(micro_batch)
        if len(collected) == counts(number):
            yield collected
            number, collected = number + 1, []


class WaitClock:
    """Which share of the time goes by waiting for the loader."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._waited = 0.0

    def waits(self, batches: Iterator[list[Batch]]) -> Iterator[list[Batch]]:
        """The same batches, the waits for them timed."""
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - before
            if batch is None:
                return
            yield batch

    def share(self) -> float:
        """0 to 1, since this was last asked."""
        now = time.perf_counter()
        share = self._waited / max(now - self._began, 1e-9)
        self._began, self._waited = now, 0.0
        return min(1.0, share)
