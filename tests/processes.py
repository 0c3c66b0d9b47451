"""A function on several fresh processes that talk over gloo, as the ranks of a training run do."""

from __future__ import annotations

import io
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from multiprocessing import connection
from typing import Any

import torch

from easynlp_fashionklip.app.launch import free_port

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["easynlp_fashionklip.app.worker"])


def on_processes(world: int, function: Callable[..., Any], *args: Any, seconds: float = 120) -> list[Any]:
    """What `function(*args)` returns on each of `world` processes on the CPU, by rank.

    Each has its own copy of `args`; `function` is one of a module, and what it returns holds no tensors. The first
    exception of a process, or too long a wait, fails the test; none of the processes outlives the call. A model that
    the function wraps in DistributedDataParallel must go with it, see `distributed.finish`.
    """
    sent = io.BytesIO()
    torch.save(args, sent)
    port, answers = free_port(), {}
    pipes = [context.Pipe(duplex=False) for _ in range(world)]
    processes = [
        context.Process(target=_rank, args=(rank, world, port, pipe[1], function, sent.getvalue()), daemon=True)
        for rank, pipe in enumerate(pipes)
    ]
    try:
        for process, (_, writer) in zip(processes, pipes, strict=True):
            process.start()
            writer.close()
        waiting = {reader: rank for rank, (reader, _) in enumerate(pipes)}
        end = time.monotonic() + seconds
        while waiting:
            ready = connection.wait(list(waiting), max(0.0, end - time.monotonic()))
            assert ready, f"ranks {sorted(waiting.values())} of {world} did not answer within {seconds} s"
            for reader in ready:
                error, answers[waiting.pop(reader)] = reader.recv()
                assert error is None, error
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [answers[rank] for rank in range(world)]


def _rank(rank: int, world: int, port: int, writer: Any, function: Callable[..., Any], sent: bytes) -> None:
    """What a started process runs."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    torch.set_num_threads(1)
    from easynlp_fashionklip import distributed

    try:
        distributed.initialise()
        answer = function(*torch.load(io.BytesIO(sent), weights_only=False))
        distributed.barrier()  # none leaves while another still needs it
        distributed.finish()
        writer.send((None, answer))
    except BaseException:
        writer.send((f"rank {rank} of {world}:\n{traceback.format_exc()}", None))
