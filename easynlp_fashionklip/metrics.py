"""Retrieval metrics on arrays: hit-rate R@K with an explicit relevance map (never a diagonal), MRR, AP, nDCG, F1.

A worked case: two queries, four items.

>>> similarity = np.array([[0.9, 0.8, 0.1, 0.2], [0.5, 0.4, 0.3, 0.6]])
>>> relevant = np.array([[False, True, True, False], [False, False, True, False]])
>>> best_ranks(similarity, relevant)      # query 0 finds item 1 second; query 1 finds item 2 last
array([2, 4])
>>> recall_at_k(similarity, relevant, 2)  # one of two queries has a relevant item among its first two
0.5
>>> mean_reciprocal_rank(best_ranks(similarity, relevant))
0.375
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

NEVER = np.iinfo(np.int64).max  # the rank of a query without relevant items


def relevance_matrix(relevant: npt.ArrayLike | Sequence[Sequence[int]], num_items: int) -> npt.NDArray[np.bool_]:
    """Bool (Q, N) from such a matrix or, for each query, the indices (from 0) of its relevant items.

    Raises:
        ValueError: an index is negative, which numpy would read from the end.
        IndexError: an index or a bool row reaches beyond the items.
    """
    if isinstance(relevant, np.ndarray) and relevant.ndim == 2 and relevant.dtype == bool:
        return relevant
    rows = [np.asarray(row) for row in relevant]  # type: ignore[union-attr]
    matrix = np.zeros((len(rows), num_items), dtype=bool)
    for query, row in enumerate(rows):
        chosen = row if row.dtype == bool else row.astype(np.int64)
        if chosen.dtype != bool and (chosen < 0).any():
            raise ValueError(f"query {query} has a negative relevant index: {chosen.min()}")
        matrix[query, chosen] = True
    return matrix


def best_ranks(
    similarity: npt.NDArray[np.floating], relevant: npt.ArrayLike | Sequence[Sequence[int]]
) -> npt.NDArray[np.int64]:
    """Rank from 1 of each query's best relevant item.

    Ties count against the query: an irrelevant item with the same score stands before. So constant embeddings score
    nothing instead of everything.

    Args:
        similarity: (Q, N), higher is nearer; NaN counts as the farthest.
        relevant: bool (Q, N), or for each query the indices of its relevant items.

    Returns:
        int64 (Q,); `NEVER` for a query without relevant items, which no k reaches, however few the items.
    """
    similarity = np.nan_to_num(np.asarray(similarity), nan=-np.inf)
    matrix = relevance_matrix(relevant, similarity.shape[1])
    if matrix.shape != similarity.shape:
        raise ValueError(f"similarity is {similarity.shape} but relevance is {matrix.shape}")
    best = np.where(matrix, similarity, -np.inf).max(axis=1, initial=-np.inf)
    ahead = ((similarity >= best[:, None]) & ~matrix).sum(axis=1)
    return np.where(matrix.any(axis=1), ahead + 1, NEVER).astype(np.int64)


def hit_rate(ranks: npt.NDArray[np.int64], k: int) -> float:
    """Share of queries, in [0, 1], whose best relevant item is among the first k."""
    return float(np.mean(ranks <= k)) if len(ranks) else 0.0


def recall_at_k(
    similarity: npt.NDArray[np.floating], relevant: npt.ArrayLike | Sequence[Sequence[int]], k: int
) -> float:
    """R@K as the image-text literature uses it: the hit-rate at k, in [0, 1]. Arguments as in `best_ranks`."""
    return hit_rate(best_ranks(similarity, relevant), k)


def mean_reciprocal_rank(ranks: npt.NDArray[np.int64]) -> float:
    """Mean of 1 / rank of the best relevant item, in [0, 1]; a query without any adds 0."""
    return float(np.mean(1.0 / ranks)) if len(ranks) else 0.0


# ---- many relevant items a query: their ranks come one query after another, (ranks, offsets) as in a CSR matrix.
# Query i's are ranks[offsets[i] : offsets[i + 1]], ascending from 1, no two equal. Each function gives float64 (Q,),
# in [0, 1], 0 for a query without relevant items.


def _sums(values: npt.NDArray[np.float64], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Sum of each query's values."""
    sizes = np.diff(offsets)
    return np.bincount(np.repeat(np.arange(len(sizes)), sizes), values, len(sizes)).astype(np.float64)


def precision_at_k(ranks: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.float64]:
    """Relevant items among the first k, over k; a query with fewer than k relevant ones cannot reach 1."""
    return _sums((ranks <= k).astype(np.float64), offsets) / k


def found_at_k(ranks: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.float64]:
    """Share of the relevant items that are among the first k: recall as information retrieval has it, not R@K."""
    return _sums((ranks <= k).astype(np.float64), offsets) / np.maximum(np.diff(offsets), 1)


def average_precision(ranks: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Mean, over the relevant items, of the precision at each one's rank; its mean over queries is mAP."""
    sizes = np.diff(offsets)
    place = np.arange(len(ranks)) - np.repeat(offsets[:-1], sizes) + 1
    return _sums(place / ranks, offsets) / np.maximum(sizes, 1)


def ndcg_at_k(ranks: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.float64]:
    """Gains of 1, discounted by log2(1 + rank), among the first k, over those of the best possible order."""
    gains = np.where(ranks <= k, 1 / np.log2(1.0 + ranks), 0.0)
    best = np.concatenate([[0.0], np.cumsum(1 / np.log2(2.0 + np.arange(k)))])
    ideal = best[np.minimum(np.diff(offsets), k)]
    return np.divide(_sums(gains, offsets), ideal, out=np.zeros(len(ideal)), where=ideal > 0)


def first_ranks(ranks: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rank of each query's best relevant item, int64 (Q,); `NEVER` without any."""
    first = np.full(len(offsets) - 1, NEVER, dtype=np.int64)
    some = np.diff(offsets) > 0
    first[some] = ranks[offsets[:-1][some]]
    return first


def f1_by_class(
    hits: npt.NDArray[np.float64], truths: npt.NDArray[np.float64], predictions: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(weighted F1, macro F1) from counts by class, (..., C) each: right ones, occurrences, predictions.

    Weighted is the mean over classes by their occurrences, macro the plain mean over classes that occur or are
    predicted, as scikit-learn has both. Gives two arrays (...,), in [0, 1].
    """
    total = truths + predictions
    f1 = np.divide(2 * hits, total, out=np.zeros_like(total), where=total > 0)
    everything = np.maximum(truths.sum(axis=-1), 1e-300)
    return (f1 * truths).sum(axis=-1) / everything, f1.sum(axis=-1) / np.maximum((total > 0).sum(axis=-1), 1)
