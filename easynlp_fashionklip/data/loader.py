"""DataLoaders with worker processes that behave."""

from __future__ import annotations

import os
import signal
import sys

import torch
from torch.utils.data import DataLoader, Sampler

from easynlp_fashionklip.data.collate import PairCollator
from easynlp_fashionklip.data.dataset import Batch, PairDataset, RowFailure
from easynlp_fashionklip.data.samplers import SampleIndex
from easynlp_fashionklip.errors import InputError

MOST_WORKERS = 8


def available_cores() -> int:
    """Cores this process may use, which a container can make fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_count(asked: int, processes: int = 1) -> int:
    """How many worker processes to start.

    Args:
        asked: the number, or -1 for the cores of each of the machine's processes but one, at most 8.
        processes: training processes on this machine, which share its cores.

    Raises:
        InputError: `asked` is below -1.
    """
    if asked < -1:
        raise InputError(f"data_workers={asked} is out of range; give 0 or more, or -1 to choose by cores.")
    if asked >= 0:
        return asked
    return max(0, min(available_cores() // max(1, processes) - 1, MOST_WORKERS))


def _start_worker(worker: int) -> None:
    # Ctrl-C reaches the whole process group: the main process alone answers it and then stops the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def build_loader(
    dataset: PairDataset,
    batches: Sampler[list[SampleIndex]],
    collate: PairCollator,
    *,
    workers: int = -1,
    processes: int = 1,
    prefetch: int = 4,
    pin_memory: bool | None = None,
) -> DataLoader[Batch | RowFailure]:
    """A loader over `batches`; go through it with `iterate_batches`.

    Workers live as long as the loader, fork on Linux (the platform's way elsewhere) and prepare `prefetch` batches
    each. Shuffling and augmentation come from `batches` and `dataset`; the global random state is not touched.

    Args:
        dataset: the samples.
        batches: which samples make up which batch.
        collate: stacks them.
        workers: worker processes, 0 for none, -1 to choose by cores.
        processes: training processes on this machine.
        prefetch: batches in preparation for each worker.
        pin_memory: page-locked batches; None when CUDA is there.
    """
    count = worker_count(workers, processes)
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=count,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        worker_init_fn=_start_worker if count else None,
        persistent_workers=count > 0,
        prefetch_factor=prefetch if count else None,
        multiprocessing_context="fork" if count and sys.platform == "linux" else None,
        generator=torch.Generator().manual_seed(0),
    )
