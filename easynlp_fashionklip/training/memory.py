"""What training needs of memory: estimated before it starts, measured while it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

_STATM = Path("/proc/self/statm")


def used_memory(device: torch.device) -> int:
    """Bytes: on a GPU the most that tensors have taken, on a CPU what the process has in memory now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if _STATM.is_file():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource  # not everywhere

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a process takes, beside the interpreter and its libraries."""

    weights: int
    gradients: int
    optimizer: int
    bank: int
    activations: int

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.gradients + self.optimizer + self.bank + self.activations


def estimate(module: nn.Module, bank: Tensor, activations: int) -> MemoryEstimate:
    """Weights and gradients as they are, AdamW's two moments of each trainable weight, the bank, and activations."""
    weights = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    gradients = sum(parameter.nbytes for parameter in module.parameters() if parameter.requires_grad)
    return MemoryEstimate(weights, gradients, 2 * gradients, bank.nbytes, activations)


def kept_for_backward(forward: Callable[[], object], module: nn.Module) -> int:
    """Bytes of the tensors that a forward pass keeps for the backward pass, measured by running it.

    Args:
        forward: runs the module, with gradient.
        module: whose parameters and buffers are not counted, being there anyway.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    seen: dict[int, int] = {}
    held: list[Tensor] = []  # a freed block would be given out, and counted, again

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = forward()
    total = sum(seen.values())
    del outputs
    return total
