"""Threads that each compute alone: on a busy machine threads that share every operation wait for each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

A = TypeVar("A")
B = TypeVar("B")


class OwnThreads:
    """`map` over as many threads as torch had."""

    def __init__(self, workers: int, pool: ThreadPoolExecutor | None) -> None:
        self.workers = workers
        self._pool = pool

    def map(self, work: Callable[[A], B], parts: Iterable[A]) -> Iterator[B]:
        """Results in the order of `parts`."""
        return map(work, parts) if self._pool is None else self._pool.map(work, parts)


@contextmanager
def own_threads(device: torch.device) -> Iterator[OwnThreads]:
    """On a CPU one thread for each that torch computes with, in which its operations do not spread; else this one."""
    workers = torch.get_num_threads() if device.type == "cpu" else 1
    if workers == 1:
        yield OwnThreads(1, None)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            yield OwnThreads(workers, pool)
    finally:
        torch.set_num_threads(workers)
