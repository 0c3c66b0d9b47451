"""The outputs of a frozen text tower, kept: the same text never needs its second forward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BUDGET_BYTES = 32 << 20
Compute = Callable[[Tensor], Tensor]


class FrozenTextCache:
    """Tower outputs by key (a row or concept number below `num_keys`), within a fixed memory budget.

    Keys beyond the budget are computed each time, so that memory does not grow with the catalogue.
    """

    def __init__(self, num_keys: int, budget: int = BUDGET_BYTES) -> None:
        self.num_keys = num_keys
        self.budget = budget
        self._outputs = torch.zeros(0, 0)
        self._known = torch.zeros(0, dtype=torch.bool)

    def get(self, keys: Tensor, compute: Compute) -> Tensor:
        """Tower outputs (n, h) of int64 keys (n,), on the CPU.

        Args:
            keys: which texts, n >= 1.
            compute: given positions within `keys` (int64, ascending, at least one), returns those texts' outputs.
        """
        keys = keys.cpu()
        missing = (~self._is_known(keys)).nonzero().flatten()
        if len(missing) == 0:
            return self._outputs[keys]
        computed = compute(missing).detach().float().cpu()
        result = computed.new_zeros(len(keys), computed.shape[1])
        result[missing] = computed
        if len(missing) < len(keys):
            known = self._is_known(keys)
            result[known] = self._outputs[keys[known]]
        self._store(keys[missing], computed)
        return result

    def _is_known(self, keys: Tensor) -> Tensor:
        known = torch.zeros(len(keys), dtype=torch.bool)
        inside = keys < len(self._known)
        known[inside] = self._known[keys[inside]]
        return known

    def _store(self, keys: Tensor, outputs: Tensor) -> None:
        if len(self._known) == 0:
            capacity = min(self.num_keys, self.budget // (4 * outputs.shape[1]))
            self._outputs = torch.zeros(capacity, outputs.shape[1])
            self._known = torch.zeros(capacity, dtype=torch.bool)
        inside = keys < len(self._known)
        self._outputs[keys[inside]] = outputs[inside]
        self._known[keys[inside]] = True
