"""Which arithmetic the forward and backward passes use."""

from __future__ import annotations

import torch

from easynlp_fashionklip.config import Precision
from easynlp_fashionklip.errors import InputError

NAMES: dict[torch.dtype, str] = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
_DTYPES = {name: dtype for dtype, name in NAMES.items()}


def resolve_precision(device: torch.device, setting: Precision, use_amp: bool) -> torch.dtype:
    """The dtype of autocast; float32 is none. Weights and optimizer are float32 always.

    Args:
        device: of training.
        setting: `auto` takes bfloat16 on GPUs that have it and float32 elsewhere; others are taken as they are.
        use_amp: EasyNLP's flag: lower precision is wanted even where `auto` would not choose it.

    Raises:
        InputError: float16 on a CPU.
    """
    if setting == "fp16" and device.type == "cpu":
        raise InputError("precision=fp16 does not train on a CPU; give precision=bf16, fp32 or auto.")
    if setting != "auto":
        return _DTYPES[setting]
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16
        return torch.float16 if use_amp else torch.float32
    return torch.bfloat16 if use_amp else torch.float32
