"""The outputs of a frozen text tower, kept: the same text never needs its second forward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BUDGET_BYTES = 64 << 20
Compute = Callable[[Tensor], Tensor]


class FrozenTextCache:
    """Tower outputs by key (a row or concept number below `num_keys`), within a fixed memory budget.

    Keys beyond the budget are computed each time, so that memory does not grow with the catalogue.
    """

    def __init__(self, num_keys: int, width: int, budget: int = BUDGET_BYTES) -> None:
        self.capacity = min(num_keys, budget // (4 * width))
        self.outputs = torch.zeros(self.capacity, width)
        self.known = torch.zeros(self.capacity, dtype=torch.bool)

    def get(self, keys: Tensor, compute: Compute) -> Tensor:
        """Tower outputs (n, width) of int64 keys (n,).

        Args:
            keys: which texts.
            compute: given positions within `keys` (int64, ascending), returns those texts' outputs.
        """
        keys = keys.cpu()
        kept = keys < self.capacity
        missing = (~kept | ~self.known[keys.clamp(max=max(self.capacity - 1, 0))]).nonzero().flatten()
        if self.capacity == 0:
            return compute(torch.arange(len(keys)))
        result = self.outputs[keys.clamp(max=self.capacity - 1)]
        if len(missing):
            computed = compute(missing)
            result[missing] = computed.float().cpu()
            store = kept[missing]
            self.outputs[keys[missing][store]] = computed.float().cpu()[store]
            self.known[keys[missing][store]] = True
        return result
