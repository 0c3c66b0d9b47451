"""Maximal marginal relevance (Carbonell and Goldstein, 1998), for many concepts at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def maximal_marginal_relevance(
    query_similarity: Tensor, candidate_similarity: Tensor, mask: Tensor, k: int, diversity: float
) -> tuple[Tensor, Tensor]:
    """Choose up to k of M candidates for each of U queries: relevant, yet unlike those already chosen.

    The first choice is the most similar to the query, each next one maximises
    `(1 - diversity) * query_similarity - diversity * (largest similarity to a chosen candidate)`.
    Equal scores go to the lowest index.

    Args:
        query_similarity: U x M.
        candidate_similarity: U x M x M, symmetric.
        mask: U x M, bool, False where a query has no such candidate.
        k: how many to choose, at least 1; a query with fewer candidates gets them all.
        diversity: 0 (most relevant first) to 1 (most unlike first).

    Returns:
        indices U x k in order of choice (0 where nothing is left), and the mask U x k of those that are valid.
    """
    queries, candidates = query_similarity.shape
    if k < 1 or not 0.0 <= diversity <= 1.0:
        raise ValueError(f"k must be at least 1 and diversity within 0 and 1, not {k} and {diversity}.")
    indices = torch.zeros(queries, k, dtype=torch.long, device=query_similarity.device)
    chosen_mask = torch.zeros(queries, k, dtype=torch.bool, device=query_similarity.device)
    free = mask.clone()  # U x M
    redundancy = torch.full_like(query_similarity, -torch.inf)  # U x M: largest similarity to a chosen one
    rows = torch.arange(queries, device=query_similarity.device)
    for step in range(min(k, candidates)):
        score = query_similarity if step == 0 else (1 - diversity) * query_similarity - diversity * redundancy
        best = _first_argmax(score.masked_fill(~free, -torch.inf))  # U
        valid = free[rows, best]
        indices[:, step] = torch.where(valid, best, 0)
        chosen_mask[:, step] = valid
        free[rows, best] = False
        redundancy = torch.maximum(redundancy, candidate_similarity[rows, best])
    return indices, chosen_mask


def _first_argmax(score: Tensor) -> Tensor:
    """Lowest index of each row's maximum; `Tensor.argmax` leaves open which of equals it gives."""
    positions = torch.arange(score.shape[1], device=score.device).expand_as(score)
    is_best = score == score.amax(dim=1, keepdim=True)
    return torch.where(is_best, positions, score.shape[1]).amin(dim=1)
