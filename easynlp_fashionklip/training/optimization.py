"""AdamW with warm-up and cosine decay, with the two methods EasyNLP's trainer asks an optimizer for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` that tells EasyNLP its current rate and the length of the run."""

    def __init__(self, groups: Iterable[dict[str, object]], learning_rate: float, total_training_steps: int) -> None:
        super().__init__(list(groups), lr=learning_rate)
        self.total_training_steps = total_training_steps

    def get_current_lr(self, *_: object) -> float:
        """Learning rate of the first parameter group."""
        return float(self.param_groups[0]["lr"])


def parameter_groups(model: nn.Module, weight_decay: float) -> Iterator[dict[str, object]]:
    """Matrices and filters decay; biases, norms and the temperature do not (Loshchilov & Hutter's usual practice)."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    yield {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay}
    yield {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0}


def warmup_cosine(optimizer: torch.optim.Optimizer, warmup_steps: int, total_steps: int) -> LambdaLR:
    """Rate rises linearly over `warmup_steps`, then falls along a cosine to 0 at `total_steps`."""

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)
