"""Training in processes that can be killed; forked from a server that has imported everything, they start quickly."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from processes import context

from easynlp_fashionklip.app.launch import free_port

Hook = Callable[[], None]


def _train(argv: Sequence[str], rank: int, world: int, port: int, log: Path, hook: Hook | None) -> None:
    """What a started process runs: one rank of a training run, its output in `log`."""
    import torch

    torch.set_num_threads(1)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
    if hook is not None:
        hook()
    from easynlp_fashionklip.app.worker import main

    code = main(argv)
    sys.stderr.flush()
    os._exit(code)


class Run:
    """The processes of one run and what they said."""

    def __init__(self, argv: Sequence[str], log: Path, world: int = 1, hook: Hook | None = None) -> None:
        port = free_port()
        self.log = log
        self.processes: list[BaseProcess] = [
            context.Process(target=_train, args=(list(argv), rank, world, port, log, hook)) for rank in range(world)
        ]
        for process in self.processes:
            process.start()

    def wait(self, seconds: float = 120) -> list[int | None]:
        """Exit codes; those that do not end in time are killed."""
        end = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, end - time.monotonic()))
        codes = [process.exitcode for process in self.processes]
        self.kill()
        return codes

    def kill(self) -> None:
        """kill -9, every process."""
        for process in self.processes:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
            process.join()

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.is_file() else ""


class DieAt:
    """A hook: the process kills itself, as by kill -9, just before (or after) a call of a function of `os`."""

    def __init__(self, function: str, call: int, suffix: str = "", after: bool = False) -> None:
        self.function, self.call, self.suffix, self.after = function, call, suffix, after

    def __call__(self) -> None:
        real, calls = getattr(os, self.function), 0

        def counting(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += not self.suffix or str(args[-1]).endswith(self.suffix)
            fatal = calls == self.call
            if fatal and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*args, **kwargs)
            if fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(os, self.function, counting)
