"""Maximal marginal relevance (Carbonell and Goldstein, 1998), for many concepts at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def maximal_marginal_relevance(
    query_similarity: Tensor,
    candidate_similarity: Tensor,
    mask: Tensor,
    k: int,
    diversity: float,
    excludes: Tensor | None = None,
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
        excludes: U x M x M, bool, symmetric: pairs of candidates that are never both chosen.

    Returns:
        indices U x k in order of choice (0 where nothing is left), and the mask U x k of those that are valid.
    """
    queries, candidates = query_similarity.shape
    if k < 1 or not 0.0 <= diversity <= 1.0:
        raise ValueError(f"k must be at least 1 and diversity within 0 and 1, not {k} and {diversity}.")
    indices = torch.zeros(queries, k, dtype=torch.long, device=query_similarity.device)
    chosen_mask = torch.zeros(queries, k, dtype=torch.bool, device=query_similarity.device)
    relevance = ((1 - diversity) * query_similarity).masked_fill_(~mask, -torch.inf)  # U x M, -inf: not to be chosen
    score = query_similarity.masked_fill(~mask, -torch.inf)
    redundancy = torch.full_like(query_similarity, -torch.inf)  # U x M: largest similarity to a chosen one
    rows = torch.arange(queries, device=query_similarity.device)
    for step in range(min(k, candidates)):
        best = _first_argmax(score)  # U
        valid = score[rows, best] > -torch.inf
        indices[:, step] = torch.where(valid, best, 0)
        chosen_mask[:, step] = valid
        relevance[rows, best] = -torch.inf
        if excludes is not None:
            relevance.masked_fill_(excludes[rows, best] & valid[:, None], -torch.inf)
        redundancy = torch.maximum(redundancy, candidate_similarity[rows, best])
        score = relevance - diversity * redundancy
    return indices, chosen_mask


def _first_argmax(score: Tensor) -> Tensor:
    """Lowest index of each row's maximum; `Tensor.argmax` leaves open which of equals it gives."""
    positions = torch.arange(score.shape[1], device=score.device)
    is_best = score == score.amax(dim=1, keepdim=True)
    return torch.where(is_best, positions, score.shape[1] - 1).amin(dim=1)
