"""Sums over the rows of a large matrix of which only some rows exist at a time, in the backward pass too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Entries of a tile where nothing else bounds it: 64 MB in single precision.
MAX_ENTRIES = 1 << 24

TileSum = Callable[..., Tensor]
"""(rows: slice, *inputs) -> scalar: the sum of these rows' losses, differentiable in the inputs."""


def bounded(chunk: int, columns: int) -> int:
    """Rows of `columns` entries that a tile may have: `chunk` (0 for no wish), at least 1, within `MAX_ENTRIES`."""
    most = max(1, MAX_ENTRIES // max(1, columns))
    return min(chunk, most) if chunk else most


def tiles(rows: slice, chunk: int) -> Iterator[slice]:
    """`rows` in pieces of `chunk` (0: in one piece)."""
    step = chunk or max(1, rows.stop - rows.start)
    for start in range(rows.start, rows.stop, step):
        yield slice(start, min(start + step, rows.stop))


def tiled_sum(tile_sum: TileSum, rows: slice, chunk: int, *inputs: Tensor) -> Tensor:
    """Sum `tile_sum` over `rows`, tile by tile.

    With more than one tile the gradients are computed in the forward pass, each tile's right after its value, so that
    nothing of a tile outlives it; they cannot be differentiated again.

    Args:
        tile_sum: see `TileSum`.
        rows: a slice with start and stop.
        chunk: rows of a tile; 0 for all at once.
        inputs: tensors that the gradient may be asked for.
    """
    if chunk == 0 or rows.stop - rows.start <= chunk:
        return tile_sum(rows, *inputs)
    return cast(Tensor, _TiledSum.apply(tile_sum, rows, chunk, *inputs))


class _TiledSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tile_sum: TileSum, rows: slice, chunk: int, *inputs: Tensor) -> Tensor:
        needed = ctx.needs_input_grad[3:]
        leaves = [x.detach().requires_grad_(need) for x, need in zip(inputs, needed, strict=True)]
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        gradients = [torch.zeros_like(leaf) for leaf in wanted]
        total = inputs[0].new_zeros(())
        for tile in tiles(rows, chunk):
            with torch.set_grad_enabled(bool(wanted)):
                value = tile_sum(tile, *leaves)
            total += value.detach()
            if wanted and value.requires_grad:
                found = torch.autograd.grad(value, wanted, allow_unused=True)
                for gradient, part in zip(gradients, found, strict=True):
                    if part is not None:
                        gradient += part
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        gradients = iter(ctx.saved_tensors)
        return None, None, None, *(next(gradients) * grad_outputs[0] if n else None for n in ctx.needs_input_grad[3:])
