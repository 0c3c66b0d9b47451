"""DeepSpeed's JSON file: read, checked, and completed with what the command line's flags say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch

from easynlp_fashionklip.errors import InputError

STAGES = (1, 2, 3)
_OURS = {
    "optimizer": "AdamW is built from --learning_rate and --weight_decay",
    "scheduler": "the schedule is built from --warmup_proportion and --epoch_num",
    "bf16": "give precision=bf16 in --user_defined_parameters instead, which keeps the weights in fp32",
    "fp16": "give precision=bf16 in --user_defined_parameters instead",
    "data_efficiency": "batches are drawn by batch_sampler",
    "compile": "compiled models are not supported",
}
_SILENT = 2**31 - 1


def check(path: str | Path) -> dict[str, Any]:
    """Read the file and refuse what no run could use; cheap, so that it can be done before anything is loaded.

    Raises:
        InputError: DeepSpeed is not installed; the file is missing, no JSON object, or names another ZeRO stage.
    """
    if importlib.util.find_spec("deepspeed") is None:
        raise InputError(
            f"deepspeed_config={path} needs the package deepspeed, which is not installed here; "
            "run: pip install 'easynlp-fashionklip[deepspeed]'."
        )
    config = _read(Path(path))
    zero = config.get("zero_optimization")
    stage = zero.get("stage") if isinstance(zero, dict) else None
    if isinstance(stage, bool) or stage not in STAGES:
        raise InputError(
            f"deepspeed_config={path}: zero_optimization.stage is {json.dumps(stage)}, not 1, 2 or 3; "
            "see configs/deepspeed, or leave deepspeed_config out to train without ZeRO."
        )
    for key, why in _OURS.items():
        if _switched_on(config.get(key)):
            raise InputError(f"deepspeed_config={path}: remove the section {key!r}; {why}.")
    if config.get("managed_gradient_accumulation", True) is not True:
        raise InputError(f"deepspeed_config={path}: managed_gradient_accumulation must be true; remove the key.")
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"deepspeed_config={path} cannot be read ({error.strerror}); give the path of a JSON file, "
            "for example configs/deepspeed/zero2.json."
        ) from error
    except ValueError as error:
        raise InputError(f"deepspeed_config={path} is not valid JSON ({error}); correct the file.") from error
    if not isinstance(config, dict):
        raise InputError(f"deepspeed_config={path} holds a {type(config).__name__}, not a JSON object.")
    return config


def _switched_on(section: Any) -> bool:
    """Whether a section is there and does something: `{"enabled": false}` (or "auto") does not."""
    if isinstance(section, dict):
        return section.get("enabled", True) not in (False, "auto")
    return section is not None and section is not False


def complete(
    config: dict[str, Any],
    path: str | Path,
    *,
    micro_batch_size: int,
    backward_passes: int,
    world_size: int,
    max_grad_norm: float,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """The configuration DeepSpeed is started with: a copy whose batch sizes, clipping and precision are the flags'.

    A key that is absent or "auto" is filled in; one that says something else is an error, so that neither file nor
    command line is silently overruled.

    Args:
        config: what `check` returned.
        path: the file, for messages.
        micro_batch_size: rows of one forward pass of a process.
        backward_passes: of an optimizer step, on each process.
        world_size: how many processes train.
        max_grad_norm: norm that gradients are clipped to; 0 does not clip.
        dtype: of the forward pass, float32 or bfloat16; parameters stay float32.

    Raises:
        InputError: naming the key that contradicts a flag.
    """
    flags = {
        "train_micro_batch_size_per_gpu": (micro_batch_size, "--micro_batch_size"),
        "gradient_accumulation_steps": (backward_passes, "--gradient_accumulation_steps and contrastive_batch_size"),
        "train_batch_size": (
            micro_batch_size * backward_passes * world_size,
            "--micro_batch_size, --gradient_accumulation_steps and the number of processes",
        ),
        "gradient_clipping": (max_grad_norm, "--max_grad_norm"),
        "zero_allow_untested_optimizer": (True, "the optimizer"),
        "zero_force_ds_cpu_optimizer": (False, "the optimizer, which is torch's"),
    }
    completed = dict(config)
    for key, (value, flag) in flags.items():
        completed[key] = _agreed(config.get(key, "auto"), value, key, flag, path)
    completed["torch_autocast"] = _autocast(config.get("torch_autocast", {}), dtype, path)
    completed.setdefault("steps_per_print", _SILENT)
    for section in _OURS:
        completed.pop(section, None)
    return completed


def _agreed(written: Any, value: Any, key: str, flag: str, path: str | Path) -> Any:
    if written in ("auto", value):
        return value
    raise InputError(
        f"deepspeed_config={path}: {key} is {json.dumps(written)}, but {flag} give{'' if ' and ' in flag else 's'} "
        f"{json.dumps(value)}; remove the key, or change one of them."
    )


def _autocast(written: dict[str, Any], dtype: torch.dtype, path: str | Path) -> dict[str, Any]:
    """The section `torch_autocast`: gradients and weights travel in fp32 unless the file lists modules itself."""
    if not isinstance(written, dict):
        raise InputError(
            f"deepspeed_config={path}: torch_autocast is {json.dumps(written)}, not an object; remove the key."
        )
    if dtype not in (torch.float32, torch.bfloat16):
        raise InputError("precision=fp16 is not supported with deepspeed_config; give precision=bf16 or fp32.")
    half = dtype == torch.bfloat16
    section = {"lower_precision_safe_modules": [], **written}
    for key, value in {"enabled": half, "dtype": "bfloat16"}.items():
        if half or key == "enabled":
            section[key] = _agreed(written.get(key, "auto"), value, f"torch_autocast.{key}", "precision", path)
    return section if half else {"enabled": False}
