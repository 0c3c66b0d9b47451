"""Which number type forward and backward compute in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import cast

import torch

from easynlp_fashionklip.config import Precision
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.cpu import cpu_half_is_faster

NAMES: dict[torch.dtype, str] = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
_NAMED = {name: dtype for dtype, name in NAMES.items()}


def lower_precision(device: torch.device | str, dtype: torch.dtype) -> AbstractContextManager[None]:
    """bfloat16 or float16 arithmetic over float32 weights inside; with float32 nothing is changed."""
    kind = torch.device(device).type
    lower = dtype != torch.float32
    return cast(AbstractContextManager[None], torch.autocast(kind, dtype if lower else None, enabled=lower))


def resolve_precision(device: torch.device, setting: Precision, use_amp: bool) -> torch.dtype:
    """float32, bfloat16 or float16: as set, or the fastest that is accurate enough.

    Args:
        device: where it computes.
        setting: `precision` of the configuration; "auto" chooses by the device.
        use_amp: EasyNLP's --use_amp, which asks for a half type whatever the device gains from it.

    Raises:
        InputError: float16 on a CPU, whose gradients it cannot hold.
    """
    if setting == "fp16" and device.type == "cpu":
        raise InputError("precision=fp16 is for GPUs; on a CPU use precision=bf16, fp32 or auto.")
    if setting != "auto":
        return _NAMED[setting]
    if device.type == "cpu":
        return torch.bfloat16 if use_amp or cpu_half_is_faster() else torch.float32
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16 if use_amp else torch.float32
