"""What a training step needs of whatever runs the model: one process, DistributedDataParallel, or DeepSpeed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from easynlp_fashionklip import distributed
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.training.precision import lower_precision

_NAME = "torch"
_USE_ALL_WEIGHTS = ("clip", "fashionklip-pair")  # of others some may be idle, such as DINOv2's mask token


@dataclass(frozen=True)
class StepResult:
    """What an optimizer step did."""

    grad_norm: float
    """Of the whole model, before clipping; inf or NaN where it is no number."""
    skipped: bool
    """The gradient was no number: weights, moments and schedule are as they were."""
    rescaled: bool = False
    """Skipped because fp16 overflowed the loss scale, which is smaller now: usual at the start of a run."""


class Engine(Protocol):
    """Runs forward, backward and optimizer steps of one model on 1 to n processes.

    All methods but `learning_rate` are collective: every process calls them, in the same order.
    """

    module: nn.Module
    """Callable, `module(batch) -> outputs`; wrapped where several processes train."""

    def autocast(self) -> AbstractContextManager[None]:
        """The precision of the forward pass."""

    def synchronised(self, last: bool) -> AbstractContextManager[None]:
        """The context of a forward and backward pass; gradients travel between processes only when `last`."""

    def backward(self, loss: Tensor, last: bool) -> None:
        """Add the gradient of a loss, scaled where the precision needs it."""

    def step(self) -> StepResult:
        """Clip, step, advance the schedule, clear; a gradient that is no number on any process skips it on all."""

    def learning_rate(self) -> float:
        """Of the first parameter group."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values that a resume point needs beside the weights."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave.

        Raises:
            InputError: it is another engine's, or another model's.
        """

    def save(self, folder: Path, tag: str) -> None:
        """Write what each process alone knows to `<folder>/<tag>`; nothing where `state_dict` holds all."""

    def load(self, folder: Path, tag: str) -> None:
        """Restore what `save` wrote."""

    def whole(self) -> AbstractContextManager[None]:
        """Within, the encoder's parameters are whole on every process, to evaluate or to rank prototypes with."""

    def weights(self) -> dict[str, Tensor]:
        """The plain encoder's full state dict; the first process's is what checkpoints are made of."""


class LocalEngine:
    """An `Engine` of plain PyTorch: this process alone, or DistributedDataParallel over all."""

    def __init__(
        self,
        module: nn.Module,
        encoder: DualEncoder,
        optimizer: Optimizer,
        schedule: LRScheduler,
        *,
        max_grad_norm: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Wrap the module; collective where several processes train.

        Args:
            module: what a training step calls, `module(batch) -> outputs`, on its device; holds the encoder.
            encoder: what checkpoints are made of.
            optimizer: over the module's parameters.
            schedule: of the optimizer's rate, advanced by each step that is not skipped.
            max_grad_norm: norm that the whole gradient is clipped to; 0 does not clip.
            dtype: of the forward pass: float32, bfloat16, or float16 (whose loss is scaled).
        """
        device = next(module.parameters()).device
        self.module = module
        if distributed.is_distributed():
            self.module = DistributedDataParallel(
                module,
                device_ids=[device.index] if device.type == "cuda" else None,
                find_unused_parameters=encoder.backend.model_type not in _USE_ALL_WEIGHTS,
            )
        self._device = device.type
        self._finite = torch.ones((), dtype=torch.bool, device=device)  # the losses since the last step
        self._encoder = encoder
        self._optimizer = optimizer
        self._schedule = schedule
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._max_grad_norm = max_grad_norm or math.inf
        self._dtype = dtype
        self._scaler = torch.amp.GradScaler(self._device, enabled=dtype == torch.float16)

    def autocast(self) -> AbstractContextManager[None]:
        """bfloat16 or float16 arithmetic over float32 weights; nothing in full precision."""
        return lower_precision(self._device, self._dtype)

    @contextlib.contextmanager
    def synchronised(self, last: bool) -> Iterator[None]:
        """As `Engine.synchronised`."""
        if last or not isinstance(self.module, DistributedDataParallel):
            yield
        else:
            with self.module.no_sync():
                yield

    def backward(self, loss: Tensor, last: bool) -> None:
        """As `Engine.backward`; `last` is known from the `synchronised` around it."""
        self._finite = self._finite & loss.detach().isfinite().all()
        self._scaler.scale(loss).backward()

    def step(self) -> StepResult:
        """As `Engine.step`."""
        self._scaler.unscale_(self._optimizer)
        norm = float(nn.utils.clip_grad_norm_(self._parameters, self._max_grad_norm))
        finite, self._finite = bool(self._finite), torch.ones_like(self._finite)
        skipped = distributed.any_rank(not (finite and math.isfinite(norm)))
        rescaled = skipped and finite and self._scaler.is_enabled() and self._scaler.get_scale() > 1.0
        if not skipped:
            self._scaler.step(self._optimizer)
            self._schedule.step()
            with torch.no_grad():  # so that the way back from the limit is never long
                self._encoder.logit_scale.clamp_(max=math.log(self._encoder.max_scale))
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        return StepResult(norm, skipped, rescaled)

    def learning_rate(self) -> float:
        """As `Engine.learning_rate`."""
        return float(self._optimizer.param_groups[0]["lr"])

    def state_dict(self) -> dict[str, Any]:
        """Moments, place in the schedule, loss scale."""
        return {
            "engine": _NAME,
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As `Engine.load_state_dict`."""
        if state.get("engine") != _NAME:
            raise InputError(
                "--resume_from_checkpoint was saved with DeepSpeed; give the same deepspeed_config, or start from its "
                "checkpoint folder with pretrain_model_name_or_path."
            )
        try:
            self._optimizer.load_state_dict(state["optimizer"])
        except (ValueError, KeyError) as error:
            raise InputError(
                "--resume_from_checkpoint was saved with other parts of the model frozen; give the freeze, "
                "train_layers, layer_decay and node_learning_rate that the run was started with."
            ) from error
        self._schedule.load_state_dict(state["schedule"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])

    def save(self, folder: Path, tag: str) -> None:
        """Nothing: `state_dict` holds all."""

    def load(self, folder: Path, tag: str) -> None:
        """Nothing: `state_dict` holds all."""

    def whole(self) -> AbstractContextManager[None]:
        """Nothing to do: every process has all weights."""
        return contextlib.nullcontext()

    def weights(self) -> dict[str, Tensor]:
        """As `Engine.weights`."""
        return dict(self._encoder.state_dict())
