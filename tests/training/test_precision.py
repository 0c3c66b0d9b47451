"""Which number type forward and backward compute in."""

from __future__ import annotations

import pytest
import torch

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.training import precision
from easynlp_fashionklip.training.precision import resolve_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("faster", "use_amp", "expected"),
    [
        (True, False, torch.bfloat16),
        (False, False, torch.float32),
        (False, True, torch.bfloat16),
    ],
)
def test_auto_on_a_cpu(monkeypatch: pytest.MonkeyPatch, faster: bool, use_amp: bool, expected: torch.dtype) -> None:
    monkeypatch.setattr(precision, "cpu_half_is_faster", lambda: faster)
    assert resolve_precision(CPU, "auto", use_amp) is expected
    assert resolve_precision(CPU, "fp32", use_amp) is torch.float32


@pytest.mark.parametrize(
    ("supported", "use_amp", "expected"),
    [(True, False, torch.bfloat16), (False, True, torch.float16), (False, False, torch.float32)],
)
def test_auto_on_a_gpu(monkeypatch: pytest.MonkeyPatch, supported: bool, use_amp: bool, expected: torch.dtype) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: supported)
    assert resolve_precision(GPU, "auto", use_amp) is expected
    assert resolve_precision(GPU, "fp16", use_amp) is torch.float16


def test_float16_on_a_cpu() -> None:
    with pytest.raises(InputError, match="precision=fp16 is for GPUs"):
        resolve_precision(CPU, "fp16", False)
