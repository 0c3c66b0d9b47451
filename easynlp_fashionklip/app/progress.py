"""The training bar: batches done, loss, samples per second, memory, time left."""

from __future__ import annotations

import sys
import time
from collections import deque
from types import TracebackType

from tqdm import tqdm

_WINDOW = 50


class TrainingBar:
    """A bar over all batches of the run on the first process's stderr; silent on the others."""

    def __init__(self, total: int, done: int, shown: bool) -> None:
        self._bar = tqdm(total=total, initial=done, desc="training", unit="batch", disable=not shown, mininterval=1.0)
        self._recent: deque[tuple[int, float]] = deque([(0, time.perf_counter())], maxlen=_WINDOW)
        self._told = ""

    def __enter__(self) -> TrainingBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, samples: int) -> None:
        """Count one batch of `samples` pairs over all processes."""
        self._recent.append((samples, time.perf_counter()))
        self._bar.set_postfix_str(f"{self._told}{self.rate():.0f} pairs/s", refresh=False)
        self._bar.update(1)

    def tell_step(self, loss: float, memory: int) -> None:
        """Show a step's loss, and the memory of this process in bytes, from now on."""
        self._told = f"loss {loss:.3f}, {memory / (1 << 30):.1f} GiB, "

    def rate(self) -> float:
        """Pairs per second over the last batches, waiting for data included."""
        seconds = self._recent[-1][1] - self._recent[0][1]
        return sum(samples for samples, _ in list(self._recent)[1:]) / seconds if seconds else 0.0

    def tell(self, line: str) -> None:
        """Write a line above the bar."""
        if not self._bar.disable:
            self._bar.write(line, file=sys.stderr)
