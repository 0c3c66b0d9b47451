"""A small layer over torch.distributed in which everything is a no-op with one process."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
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


def processes_here() -> int:
    """How many of the processes run on this machine and share its cores."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "0")) or world_size()


def local_device() -> torch.device:
    """The device of this process: its GPU by LOCAL_RANK, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def device_name() -> str:
    """What this process computes on: the GPU's name, or `CPU`."""
    device = local_device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


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
    """Leave the process group, if any; the model that it trained must have gone before.

    A DistributedDataParallel that holds the group's last reference destroys it while it holds Python's lock: there it
    waits for gloo's thread, which may be waiting for that lock.
    """
    if dist.is_available() and dist.is_initialized():
        gc.collect()  # what is in reference cycles
        dist.destroy_process_group()


class _GatherWithGrad(torch.autograd.Function):
    """All-gather along dimension 0 whose backward sums the ranks' gradients for this rank's rows."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, sizes: Sequence[int]) -> Tensor:
        ctx.start, ctx.rows = sum(sizes[: dist.get_rank()]), len(local)
        return gather(local, sizes)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        # A copy: autograd may hand the same tensor to other nodes, and all_reduce writes in place.
        total = grad_outputs[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.start : ctx.start + ctx.rows], None


def gather_sizes(size: int) -> list[int]:
    """Every rank's number, in rank order."""
    if not is_distributed():
        return [size]
    sizes = torch.tensor([size], device=local_device())
    parts = [torch.empty_like(sizes) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, sizes)
    return torch.cat(parts).tolist()


def gather(local: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """Concatenate every rank's tensor along dimension 0, in rank order, without gradient.

    Args:
        local: this rank's rows; the ranks may have different numbers of them, but nothing else that differs.
        sizes: the ranks' numbers of rows where they are known: asking for them is a message more.
    """
    if not is_distributed():
        return local
    sizes = gather_sizes(len(local)) if sizes is None else sizes
    longest = max(sizes)
    if longest == 0:
        return local
    # Collectives want equal shapes. Contiguous before `empty_like`, which keeps strides: nccl wants both contiguous.
    padded = torch.cat([local, local.new_zeros(longest - len(local), *local.shape[1:])]).contiguous()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def gather_with_grad(local: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """As `gather`, with gradient.

    A row's gradient is the sum of what the ranks' losses say of it. Where each rank computes the same global loss that
    is world_size times the true one, which DistributedDataParallel's mean over ranks makes exact; where each computes
    its part of the loss, the sum is exact and the mean wants the parts multiplied by world_size.
    """
    if not is_distributed():
        return local
    sizes = gather_sizes(len(local)) if sizes is None else sizes
    return cast(Tensor, _GatherWithGrad.apply(local, sizes)) if max(sizes) else local


def share_sizes(total: int) -> list[int]:
    """`total` dealt out to the ranks in contiguous shares, in rank order, that differ by one at most."""
    world = world_size()
    return [(rank + 1) * total // world - rank * total // world for rank in range(world)]


def own_slice(sizes: Sequence[int]) -> slice:
    """Where this rank's rows are among those of all."""
    start = sum(sizes[: rank()])
    return slice(start, start + sizes[rank()])


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of every rank's tensor, without gradient."""
    total = values.detach().clone()
    if is_distributed():
        dist.all_reduce(total)
    return total


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
