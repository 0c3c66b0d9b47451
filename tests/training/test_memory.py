"""What a forward pass keeps is what its layers need, not its weights."""

from __future__ import annotations

import mmap

import torch
from torch import nn

from easynlp_fashionklip.training.memory import estimate, kept_for_backward, used_memory


def test_activations_are_counted_once_and_without_weights() -> None:
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    rows = torch.zeros(10, 8)
    # The first layer keeps its input, the second its own: what ReLU gave and keeps, too.
    assert kept_for_backward(lambda: module(rows), module) == 4 * (10 * 8 + 10 * 16)


def test_frozen_weights_need_no_gradients_and_moments() -> None:
    module = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4))
    module[0].requires_grad_(False)
    memory = estimate(module, torch.zeros(5, 3, dtype=torch.float16), 100)
    whole, last = 4 * (8 * 16 + 16 + 16 * 4 + 4), 4 * (16 * 4 + 4)
    assert (memory.weights, memory.gradients, memory.optimizer) == (whole, last, 2 * last)
    assert (memory.bank, memory.activations) == (30, 100)
    assert memory.total == whole + 3 * last + 130


def test_memory_in_use_grows_with_pages_that_are_written() -> None:
    """Pages of the system's, as a tensor may be given memory that the process has freed before."""
    size = 64 << 20
    before = used_memory(torch.device("cpu"))
    with mmap.mmap(-1, size) as pages:
        pages.write(b"x" * size)
        assert 0.75 * size < used_memory(torch.device("cpu")) - before < 4 * size
