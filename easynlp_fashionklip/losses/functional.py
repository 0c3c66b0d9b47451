"""Pieces the losses share: a softmax with excluded entries, soft targets, one masked mean."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` is true; 0 (with a gradient of 0, not NaN) where nothing is.

    Args:
        values: any shape, finite where `mask` is true.
        mask: bool, same shape.
    """
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum() / mask.sum().clamp(min=1)


def excluding_log_softmax(logits: Tensor, excluded: Tensor) -> Tensor:
    """Log-softmax over the last dimension as if `excluded` entries were absent; those entries come out as 0.

    A row whose entries are all excluded gives zeros. Absent entries get neither value nor gradient.
    """
    lowest = torch.finfo(logits.dtype).min
    log_probabilities = torch.log_softmax(logits.masked_fill(excluded, lowest), dim=-1)
    return log_probabilities.masked_fill(excluded, 0.0)


def even_targets(positives: Tensor, dtype: torch.dtype) -> Tensor:
    """Bool (N, M) -> float (N, M): each row's mass spread evenly over its positives; rows without any are zeros."""
    mass = positives.to(dtype)
    return mass / mass.sum(dim=-1, keepdim=True).clamp(min=1.0)


def soft_target_nll(logits: Tensor, positives: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Cross-entropy of each row against targets spread evenly over its positives.

    Args:
        logits: (N, M).
        positives: bool (N, M).
        excluded: bool (N, M), entries that are neither positive nor negative; positives are never excluded.

    Returns:
        (N,), 0 for a row without positives.
    """
    if excluded is None:
        log_probabilities = torch.log_softmax(logits, dim=-1)
    else:
        log_probabilities = excluding_log_softmax(logits, excluded & ~positives)
    return -(even_targets(positives, log_probabilities.dtype) * log_probabilities).sum(dim=-1)
