"""Mining on this machine, in this process or in several."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context
from typing import TYPE_CHECKING

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.engines.base import Engine
from easynlp_fashionklip.graph.engines.chunk import MinedChunk, SegmentMiner
from easynlp_fashionklip.graph.pipeline import PortablePipeline

if TYPE_CHECKING:
    from collections.abc import Generator

    from spacy.language import Language

MOST_PROCESSES = 32
_SECONDS_BETWEEN_LOOKS = 1.0


def process_count(asked: int) -> int:
    """How many processes mine.

    Args:
        asked: the number, or -1 for as many as this process may use cores, at most 32.

    Raises:
        InputError: `asked` is 0 or below -1.
    """
    if asked == 0 or asked < -1:
        raise InputError(f"mining_processes={asked} is out of range; give 1 or more, or -1 to choose by cores.")
    if asked > 0:
        return asked
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_PROCESSES)


class LocalEngine(Engine):
    """Mines in this process, or in `processes` others while this one cuts texts into segments."""

    def __init__(self, nlp: Language | None, processes: int = 1) -> None:
        """Choose.

        Args:
            nlp: pipeline from `load_spacy`; None reads everything as titles, with the word lists alone.
            processes: 1 stays in this process, as few texts do in any case; -1 chooses by cores.

        Raises:
            InputError: `processes` is 0 or below -1.
        """
        self._nlp = nlp
        self._processes = process_count(processes)

    def _mined(self, chunks: Iterator[list[str]]) -> Generator[MinedChunk, None, None]:
        first = list(islice(chunks, 1 if self._processes == 1 else 2))
        chunks = chain(first, chunks)
        if self._processes == 1 or len(first) < 2:
            yield from map(SegmentMiner(self._nlp).mine, chunks)
        else:
            yield from _mined_by_pool(self._nlp, self._processes, chunks)


def _mined_by_pool(
    nlp: Language | None, processes: int, chunks: Iterator[list[str]]
) -> Generator[MinedChunk, None, None]:
    pool = _pool(nlp, processes)
    waiting: deque[Future[MinedChunk]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_mine, chunk))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            "A process that mines concepts was killed, most likely for lack of memory; "
            f"set mining_processes below {processes}, or free some memory; mining_processes=1 shows any other reason."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# ------------------------------------------------------------------------------------------------- in the processes

_miner: SegmentMiner | None = None


def _pool(nlp: Language | None, processes: int) -> ProcessPoolExecutor:
    """Forked processes share the loaded pipeline, as PyTorch's loaders share a dataset; others are sent it."""
    global _miner
    forks = sys.platform == "linux"
    if forks:
        _miner = SegmentMiner(nlp)  # inherited by the fork at the first chunk
    pipeline = None if forks or nlp is None else PortablePipeline.of(nlp)
    return ProcessPoolExecutor(
        processes,
        mp_context=get_context("fork" if forks else "spawn"),
        initializer=_start,
        initargs=(os.getpid(), pipeline),
    )


def _start(parent: int, pipeline: PortablePipeline | None) -> None:
    global _miner
    # Ctrl-C reaches the whole process group: the main process alone answers it and then ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if _miner is None:
        _miner = SegmentMiner(None if pipeline is None else pipeline.load())


def _end_with(parent: int) -> None:
    """A process whose parent was killed would wait for its next chunk for ever."""
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)


def _mine(segments: list[str]) -> MinedChunk:
    if _miner is None:
        raise RuntimeError("this process was not started by the pool")
    return _miner.mine(segments)
