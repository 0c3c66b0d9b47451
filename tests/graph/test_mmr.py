"""MMR against a plain loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easynlp_fashionklip.graph.mmr import maximal_marginal_relevance


def _oracle(query: list[float], between: list[list[float]], k: int, diversity: float) -> list[int]:
    left, chosen = list(range(len(query))), list[int]()
    while left and len(chosen) < k:
        best, best_score = -1, -float("inf")
        for i in left:
            score = query[i]
            if chosen:
                score = (1 - diversity) * query[i] - diversity * max(between[j][i] for j in chosen)
            if score > best_score:
                best, best_score = i, score
        chosen.append(best)
        left.remove(best)
    return chosen


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 7), st.integers(1, 9), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_like_the_loop(seed: int, available: int, k: int, diversity: float) -> None:
    """Values with few digits make ties frequent and sums exact."""
    rng = torch.Generator().manual_seed(seed)
    query = torch.randint(-4, 5, (2, 7), generator=rng) / 4
    between = torch.randint(-4, 5, (2, 7, 7), generator=rng) / 4
    between = torch.maximum(between, between.transpose(1, 2))
    mask = torch.zeros(2, 7, dtype=torch.bool)
    mask[0, :available], mask[1] = True, True
    indices, valid = maximal_marginal_relevance(query, between, mask, k, diversity)
    for row, count in ((0, available), (1, 7)):
        expected = _oracle(query[row, :count].tolist(), between[row, :count, :count].tolist(), k, diversity)
        assert indices[row][valid[row]].tolist() == expected
        assert valid[row].tolist() == [True] * len(expected) + [False] * (k - len(expected))


def test_diversity_prefers_the_unlike() -> None:
    """The twin of the first choice comes last although it is second in relevance."""
    query = torch.tensor([[0.9, 0.89, 0.1]])
    between = torch.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    everything = torch.ones(1, 3, dtype=torch.bool)
    assert maximal_marginal_relevance(query, between, everything, 3, 0.8)[0].tolist() == [[0, 2, 1]]
    assert maximal_marginal_relevance(query, between, everything, 3, 0.0)[0].tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(("k", "diversity"), [(0, 0.5), (3, 1.5), (3, -0.1)])
def test_bad_settings(k: int, diversity: float) -> None:
    """Nothing to choose, or a weight outside 0 to 1."""
    with pytest.raises(ValueError, match="at least 1"):
        maximal_marginal_relevance(torch.zeros(1, 2), torch.zeros(1, 2, 2), torch.ones(1, 2).bool(), k, diversity)
