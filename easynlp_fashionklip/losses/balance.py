"""The weight between ITC and CVA (FashionKLIP's release: w = 1/(5 r); design section 4)."""

from __future__ import annotations

import torch
from torch import Tensor

RATIO_FACTOR = 5.0


def balance_weight(itc: Tensor, cva: Tensor, w_max: float) -> Tensor:
    """Weight w = 1 / (5 r) with r = L_cva / L_itc, detached, clamped to [0, w_max]; 0 where there is no CVA loss.

    Unclamped (as in the release) w exceeds 1, and ITC's weight goes negative, as soon as L_cva < L_itc / 5.

    Args:
        itc: scalar loss.
        cva: scalar loss.
        w_max: the largest weight CVA may get, in [0, 1].
    """
    itc, cva = itc.detach(), cva.detach()
    weight = itc / (RATIO_FACTOR * cva.clamp(min=torch.finfo(cva.dtype).tiny))
    return torch.where(cva > 0, weight.clamp(0.0, w_max), torch.zeros_like(weight))


def total_loss(itc: Tensor, cva: Tensor, weight: Tensor | float) -> Tensor:
    """(1 - w) L_itc + w L_cva."""
    return (1 - weight) * itc + weight * cva
