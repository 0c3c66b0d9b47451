"""What a training step needs of whatever runs the model: one process, DistributedDataParallel, or DeepSpeed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class StepResult:
    """What an optimizer step did."""

    grad_norm: float  # of the whole model, before clipping
    skipped: bool  # the gradient was no number, nothing changed


class Engine(Protocol):
    """Runs forward, backward and optimizer steps of one model on 1 to n processes."""

    module: nn.Module

    def autocast(self) -> AbstractContextManager[None]:
        """The precision of the forward pass."""

    def synchronised(self, last: bool) -> AbstractContextManager[None]:
        """The context of a forward and backward pass; gradients travel between processes only when `last`."""

    def backward(self, loss: Tensor, last: bool) -> None:
        """Add the gradient of a loss, scaled where the precision needs it."""

    def step(self) -> StepResult:
        """Clip, step, advance the schedule, clear."""

    def learning_rate(self) -> float:
        """Of the first parameter group."""

    def state_dict(self) -> dict[str, Any]:
        """What a resume point needs beside the weights."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""

    def weights(self) -> dict[str, Tensor]:
        """The encoder's full state dict."""
