"""Float32 products in full precision, whatever the caller has set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Float32 products as such, whatever the caller allows: no TF32, no bfloat16."""
    restore = _require_full_precision()
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        restore()


def _require_full_precision() -> Callable[[], None]:
    """Set it; returns what sets it back. Torch has two interfaces, and refuses the old one once the new was used."""
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        parts: list[Any] = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
        precisions = [part.fp32_precision for part in parts]
        for part in parts:
            part.fp32_precision = "ieee"

        def restore() -> None:
            for part, precision in zip(parts, precisions, strict=True):
                part.fp32_precision = precision

        return restore
    torch.set_float32_matmul_precision("highest")
    return lambda: torch.set_float32_matmul_precision(before)
