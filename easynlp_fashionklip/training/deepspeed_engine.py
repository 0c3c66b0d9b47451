"""Training with DeepSpeed: ZeRO shares out optimizer state (stage 1), gradients (2) and weights (3) over processes.

DeepSpeed averages gradients over the processes, as DistributedDataParallel does; as each process computes its part of
the global loss times the number of processes (`FashionKLIPTask.compute_loss`), that mean is the exact gradient.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from easynlp_fashionklip import distributed
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.training import deepspeed_config
from easynlp_fashionklip.training.engine import StepResult

SUFFIX = ".deepspeed"
_DESCRIPTION = "fashionklip.json"
_NAME = "deepspeed"
_WITHOUT = (
    "--resume_from_checkpoint was saved without DeepSpeed; resume without deepspeed_config, or start anew from its "
    "checkpoint folder with pretrain_model_name_or_path."
)
_OR_ANEW = "or start anew from the checkpoint folder with pretrain_model_name_or_path."


def build(
    module: nn.Module,
    encoder: DualEncoder,
    optimizer: Optimizer,
    schedule: LRScheduler,
    *,
    config_path: str | Path,
    micro_batch_size: int,
    backward_passes: int,
    max_grad_norm: float,
    dtype: torch.dtype = torch.float32,
) -> DeepSpeedEngine:
    """Start DeepSpeed; a collective call.

    Args:
        module: what a training step calls, `module(batch) -> outputs`; holds the encoder.
        encoder: what checkpoints are made of.
        optimizer: torch's, over this module's parameter groups; DeepSpeed shares its state out.
        schedule: of the optimizer's rate, advanced by each step that is not skipped.
        config_path: DeepSpeed's JSON file.
        micro_batch_size: rows of one forward pass of a process.
        backward_passes: of an optimizer step on each process (the last of an epoch may have fewer).
        max_grad_norm: norm that the whole gradient is clipped to; 0 does not clip.
        dtype: of the forward pass, float32 or bfloat16.

    Raises:
        InputError: DeepSpeed is missing, or the file cannot be used.
    """
    config = deepspeed_config.complete(
        deepspeed_config.check(config_path),
        config_path,
        micro_batch_size=micro_batch_size,
        backward_passes=backward_passes,
        world_size=distributed.world_size(),
        max_grad_norm=max_grad_norm,
        dtype=dtype,
    )
    stage = int(config["zero_optimization"]["stage"])
    deepspeed = _import_quietly()
    _join_group(deepspeed)
    _refuse_unknown_keys(deepspeed, config, config_path)
    wrapped, *_ = deepspeed.initialize(model=module, optimizer=optimizer, config=config)
    return DeepSpeedEngine(wrapped, encoder, optimizer, schedule, stage)


def _import_quietly() -> Any:
    """DeepSpeed, without its banner, and without the kernel that it would compile for two minutes on a CPU."""
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    # Of collectives that DeepSpeed calls by a name newer versions of torch no longer like; once a process.
    warnings.filterwarnings("ignore", message="`torch\\.distributed\\.", category=FutureWarning)
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # Shared-memory collectives between CPU processes; gloo does without. A private dictionary, so it may be gone.
    compatible = getattr(deepspeed.ops, "__compatible_ops__", None)
    if isinstance(compatible, dict):
        compatible["deepspeed_shm_comm"] = False
    return deepspeed


def _join_group(deepspeed: Any) -> None:
    """DeepSpeed needs a process group even for one process, whose number it reads from LOCAL_RANK."""
    os.environ.setdefault("LOCAL_RANK", "0")
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if not dist.is_initialized():
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    deepspeed.init_distributed(backend, auto_mpi_discovery=False, verbose=False)


def _refuse_unknown_keys(deepspeed: Any, config: dict[str, Any], path: str | Path) -> None:
    try:
        deepspeed.DeepSpeedConfig(dict(config))
    except Exception as error:  # pydantic's, DeepSpeed's own, AssertionError
        raise InputError(f"deepspeed_config={path}: DeepSpeed does not accept it ({_reason(error)}).") from error


def _reason(error: Exception) -> str:
    """In a line; of pydantic's errors the key and what is wrong with it."""
    if hasattr(error, "errors"):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


class DeepSpeedEngine:
    """An `Engine` whose optimizer state, gradients or weights are shared out over the processes.

    Every method is a collective one: all processes must call it, in the same order.

    Attributes:
        module: what a training step calls.
        stage: of ZeRO, 1 to 3.
    """

    def __init__(
        self, wrapped: Any, encoder: DualEncoder, optimizer: Optimizer, schedule: LRScheduler, stage: int
    ) -> None:
        self.module: nn.Module = wrapped
        self.stage = stage
        self._engine = wrapped
        self._encoder = encoder
        self._optimizer = optimizer
        self._schedule = schedule
        if stage == 3:
            wrapped.module.register_forward_hook(lambda *_: self._keep_temperature())
        self._keep_temperature()

    def _keep_temperature(self) -> None:
        """Losses read temperature and bias after the forward pass, when stage 3 may have released them."""
        if self.stage == 3:
            for parameter in cast(Any, self._engine.module.parameters()):
                if parameter.ds_numel == 1:
                    parameter.ds_persist = True
                    parameter.all_gather()

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """Nothing to do: DeepSpeed's forward pass enters the precision of its configuration itself."""
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def synchronised(self, last: bool) -> Iterator[None]:
        """The gradient accumulation boundary is where `last` says, however many passes went before.

        Stages 2 and 3 send gradients with every pass, as no process keeps them all; stage 1 with the last alone.
        """
        self._engine.set_gradient_accumulation_boundary(last)
        yield

    def backward(self, loss: Tensor, last: bool) -> None:
        """Add the gradient of a loss that is already divided by the number of batches of the step."""
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss, scale_wrt_gas=False)

    def step(self) -> StepResult:
        """Clip, step, advance the schedule, clear; a gradient with inf or NaN on any process skips it on all."""
        self._engine.set_gradient_accumulation_boundary(True)
        self._engine.step()
        skipped = not self._engine.was_step_applied()
        norm = math.inf if skipped else float(self._engine.get_global_grad_norm())
        if not skipped:
            self._schedule.step()
        self._keep_temperature()
        return StepResult(grad_norm=norm, skipped=skipped)

    def learning_rate(self) -> float:
        """Of the first parameter group."""
        return float(self._optimizer.param_groups[0]["lr"])

    # ------------------------------------------------------------------------------------------------------- resuming

    def state_dict(self) -> dict[str, Any]:
        """The schedule; the optimizer's state is what `save` writes."""
        return {"engine": _NAME, "schedule": self._schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the schedule, after `load`.

        Raises:
            InputError: the state was saved by training without DeepSpeed.
        """
        if state.get("engine") != _NAME:
            raise InputError(_WITHOUT)
        self._schedule.load_state_dict(state["schedule"])
        for group, rate in zip(self._optimizer.param_groups, self._schedule.get_last_lr(), strict=True):
            group["lr"] = rate

    def save(self, folder: Path, tag: str) -> None:
        """Write weights and optimizer state, each process its share, to `<folder>/<tag>/`, whole or not at all.

        Args:
            folder: replaced; all machines must see it.
            tag: name within it.

        Raises:
            InputError: the folder cannot be written, or is not shared by all machines.
        """
        part = folder.with_name(folder.name + ".part")
        self._on_first(lambda: shutil.rmtree(part, ignore_errors=True), folder)
        try:
            self._engine.save_checkpoint(str(part), tag=tag, save_latest=False)
        except (OSError, RuntimeError) as error:  # torch.save's for a full disk is a RuntimeError
            shutil.rmtree(part, ignore_errors=True)
            raise InputError(_unwritten(folder, error)) from error
        self._on_first(lambda: self._publish(part, folder, tag), folder)

    def _publish(self, part: Path, folder: Path, tag: str) -> None:
        shares = len(list((part / tag).glob("*_optim_states.pt")))
        if shares != distributed.world_size():
            raise InputError(
                f"{folder} has the optimizer state of {shares} of {distributed.world_size()} processes; "
                "give a --checkpoint_dir on a disk that all machines share."
            )
        description = {"tag": tag, "stage": self.stage, "world_size": distributed.world_size()}
        (part / _DESCRIPTION).write_text(json.dumps(description) + "\n", encoding="utf-8")
        old = folder.with_name(folder.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
        shutil.rmtree(old, ignore_errors=True)

    def load(self, folder: Path, tag: str) -> None:
        """Restore weights and optimizer state; on a model that has not been trained since `build`.

        Raises:
            InputError: there is none, it is damaged, or was saved by another number of processes or another stage.
        """
        if not folder.is_dir():
            raise InputError(_WITHOUT)
        described = _described(folder)
        world, stage = described.get("world_size"), described.get("stage")
        if world != distributed.world_size():
            raise InputError(
                f"--resume_from_checkpoint: {folder} was saved by {world} processes and this run has "
                f"{distributed.world_size()}; start {world}, {_OR_ANEW}"
            )
        if stage != self.stage:
            raise InputError(
                f"--resume_from_checkpoint: {folder} was saved with ZeRO stage {stage} and deepspeed_config has "
                f"{self.stage}; give the file that the run was started with, {_OR_ANEW}"
            )
        try:
            path, _ = self._engine.load_checkpoint(str(folder), tag=tag, load_lr_scheduler_states=False)
        except Exception as error:  # torch raises many kinds for a damaged file
            raise InputError(f"--resume_from_checkpoint: {folder} is damaged ({_reason(error)}).") from error
        if path is None:
            raise InputError(f"--resume_from_checkpoint: {folder} holds no {tag!r}; give another resume point.")
        self._keep_temperature()

    def _on_first(self, act: Callable[[], None], folder: Path) -> None:
        """Run on the first process while the others wait; its failure to write `folder` is everybody's."""
        message: str | None = None
        if distributed.rank() == 0:
            try:
                act()
            except InputError as error:
                message = str(error)
            except OSError as error:
                message = _unwritten(folder, error)
        message = cast("str | None", distributed.broadcast_object(message))
        if message is not None:
            raise InputError(message)

    # -------------------------------------------------------------------------------------------------------- weights

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """The encoder's parameters are whole within, on every process, to read, save or evaluate with.

        Nothing to do for stages 1 and 2; stage 3 needs it around all use of the encoder outside a training step.
        """
        if self.stage < 3:
            yield
            return
        import deepspeed

        with deepspeed.zero.GatheredParameters(list(self._encoder.parameters())), _without_hooks(self._encoder):
            yield
        self._keep_temperature()

    def weights(self) -> dict[str, Tensor]:
        """The encoder's full state dict on the first process; stage 3 gathers it, and gives the others nothing."""
        if self.stage < 3:
            return dict(self._encoder.state_dict())
        with self.whole():
            if distributed.rank():
                return {}
            return {name: tensor.detach().cpu().clone() for name, tensor in self._encoder.state_dict().items()}


@contextlib.contextmanager
def _without_hooks(module: nn.Module) -> Iterator[None]:
    """Keep DeepSpeed from gathering and releasing weights around every submodule, which all processes do together."""
    names = ("_forward_pre_hooks", "_forward_hooks")
    kept = [(part, name, getattr(part, name)) for part in module.modules() for name in names]
    for part, name, hooks in kept:
        setattr(part, name, type(hooks)())
    try:
        yield
    finally:
        for part, name, hooks in kept:
            setattr(part, name, hooks)


def _unwritten(folder: Path, error: Exception) -> str:
    return f"the resume point {folder} cannot be written ({_reason(error)}); free space, or give another folder."


def _described(folder: Path) -> dict[str, Any]:
    try:
        described = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        return dict(described)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"--resume_from_checkpoint: {folder} is no whole resume point of DeepSpeed; give an older one, or start "
            "from the checkpoint folder with pretrain_model_name_or_path."
        ) from error
