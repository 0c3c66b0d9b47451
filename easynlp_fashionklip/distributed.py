"""A small layer over torch.distributed in which everything is a no-op with one process."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, cast

import torch
from torch import Tensor
from torch import distributed as dist

# Ranks wait for each other while one builds the graph or writes a checkpoint; gloo's half hour is too short for that.
TIMEOUT = timedelta(hours=24)


def is_distributed() -> bool:
    """Whether more than one process takes part."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """The number of this process, 0 when single."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """How many processes take part."""
    return dist.get_world_size() if is_distributed() else 1


def local_device() -> torch.device:
    """The device of this process: its GPU by LOCAL_RANK, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def initialise() -> torch.device:
    """Join the process group named by RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT: nccl on GPUs, gloo on CPUs.

    Returns:
        this process's device, made current.
    """
    device = local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", init_method="env://", timeout=TIMEOUT)
    return device


def finish() -> None:
    """Leave the process group, if any."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class _GatherWithGrad(torch.autograd.Function):
    """All-gather along dimension 0 whose backward sums the ranks' gradients for this rank's rows."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.rows = len(local)
        return gather(local)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        # A copy: autograd may hand the same tensor to other nodes, and all_reduce writes in place.
        total = grad_outputs[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        start = dist.get_rank() * ctx.rows
        return total[start : start + ctx.rows]


def gather(local: Tensor) -> Tensor:
    """Concatenate every rank's tensor along dimension 0, in rank order, without gradient; equal shapes needed."""
    if not is_distributed():
        return local
    local = local.contiguous()  # before `empty_like`, which keeps strides: nccl wants both contiguous
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local)
    return torch.cat(parts)


def gather_with_grad(local: Tensor) -> Tensor:
    """As `gather`, with gradient.

    When every rank computes the same global loss from the gathered tensor, each rank's gradient is world_size times
    its share of the true one; DistributedDataParallel's mean over ranks makes it exact.
    """
    if not is_distributed():
        return local
    return cast(Tensor, _GatherWithGrad.apply(local))


def gather_objects(local: Any) -> list[Any]:
    """Every rank's picklable object, in rank order."""
    if not is_distributed():
        return [local]
    objects: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(objects, local)
    return objects


def broadcast_object(value: Any) -> Any:
    """Rank 0's picklable object, everywhere."""
    if not is_distributed():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, device=local_device())
    return box[0]


def any_rank(flag: bool) -> bool:
    """Whether the flag is true on any rank."""
    if not is_distributed():
        return flag
    box = torch.tensor([int(flag)], device=local_device())
    dist.all_reduce(box, op=dist.ReduceOp.MAX)
    return bool(box.item())


def is_claimed(name: str) -> bool:
    """Whether any rank has claimed a name; False too when that cannot be known any more."""
    if not is_distributed():
        return False
    try:
        return bool(dist.distributed_c10d._get_default_store().check([f"claimed/{name}"]))
    except RuntimeError:
        return False


def first_to_claim(name: str) -> bool:
    """Whether this rank is the first to claim a name, which can be done once in a process group's life.

    Unlike a collective it never waits for the other ranks, so that one which fails may call it alone.
    """
    if not is_distributed():
        return True
    try:
        return int(dist.distributed_c10d._get_default_store().add(f"claimed/{name}", 1)) == 1
    except RuntimeError:  # the store's process is gone: rather say it twice than never
        return True


def barrier() -> None:
    """Wait for every rank."""
    if is_distributed():
        dist.barrier()
