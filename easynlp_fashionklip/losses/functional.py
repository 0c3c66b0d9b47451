"""Pieces the losses share: a softmax with excluded entries, one or several right answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_SCALE = 100.0


def inverse_temperature(logit_scale: Tensor, limit: float = MAX_SCALE) -> Tensor:
    """exp(logit_scale), at most `limit` (100 is CLIP's), with the gradient of the exponential beyond it, too.

    A plain clamp has none there, and a temperature once at the limit would stay there for good.
    """
    scale = logit_scale.exp()
    return scale + (scale.clamp(max=limit) - scale).detach()


def excluding_log_softmax(logits: Tensor, excluded: Tensor) -> Tensor:
    """Log-softmax over the last dimension as if `excluded` entries were absent; those entries come out as 0.

    A row whose entries are all excluded gives zeros. Absent entries get neither value nor gradient.
    """
    lowest = torch.finfo(logits.dtype).min
    log_probabilities = torch.log_softmax(logits.masked_fill(excluded, lowest), dim=-1)
    return log_probabilities.masked_fill(excluded, 0.0)


def excluding_nll(logits: Tensor, excluded: Tensor, right: Tensor) -> Tensor:
    """-log softmax of one right answer in each row as if `excluded` entries were absent.

    Args:
        logits: (N, M).
        excluded: bool (N, M); where the right answer is marked as excluded, that is ignored.
        right: int64 (N,).

    Returns:
        (N,).
    """
    excluded = excluded.scatter(1, right[:, None], False)
    return F.cross_entropy(logits.masked_fill(excluded, -torch.inf), right, reduction="none")


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
