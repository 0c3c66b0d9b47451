"""Metrics on 4 x 8 matrices written by hand, whose ranks can be counted."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from easynlp_fashionklip import metrics
from easynlp_fashionklip.metrics import (
    NEVER,
    average_precision,
    best_ranks,
    f1_by_class,
    first_ranks,
    found_at_k,
    hit_rate,
    mean_reciprocal_rank,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    relevance_matrix,
)

SIMILARITY = np.array(
    [
        [0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
        [0.1, 0.8, 0.9, 0.2, 0.3, 0.4, 0.5, 0.6],
        [0.8, 0.7, 0.3, 0.9, 0.1, 0.2, 0.0, -0.1],
        [0.8, 0.7, 0.6, -0.5, 0.5, 0.4, 0.3, 0.2],
    ]
)
ONE_EACH = [[0], [1], [2], [3]]  # ranks 1, 2, 4, 8


def test_one_relevant_item_per_query() -> None:
    ranks = best_ranks(SIMILARITY, ONE_EACH)
    assert ranks.tolist() == [1, 2, 4, 8]
    assert ranks.dtype == np.int64
    assert [hit_rate(ranks, k) for k in (1, 2, 3, 4, 7, 8, 100)] == [0.25, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    assert mean_reciprocal_rank(ranks) == (1 + 1 / 2 + 1 / 4 + 1 / 8) / 4


def test_many_relevant_items_count_by_the_best_and_are_never_ahead_of_each_other() -> None:
    relevant = [[0, 7], [1, 3, 4], [0, 1, 3], [3, 7]]
    # query 1: items 2 (0.9) is ahead of 1 (0.8); query 3: all but its own two are ahead of 7 (0.2)
    assert best_ranks(SIMILARITY, relevant).tolist() == [1, 2, 1, 7]
    assert recall_at_k(SIMILARITY, relevant, 1) == 0.5
    assert recall_at_k(SIMILARITY, relevant, 5) == 0.75


def test_many_queries_may_share_an_item() -> None:
    assert best_ranks(SIMILARITY, [[0], [0], [0], [0]]).tolist() == [1, 8, 2, 1]


@pytest.mark.parametrize("form", ["lists", "arrays", "matrix", "bool lists", "torch"])
def test_relevance_may_be_indices_or_a_bool_matrix(form: str) -> None:
    matrix = np.zeros((4, 8), dtype=bool)
    matrix[0, [0, 7]] = matrix[1, [1, 3, 4]] = matrix[3, 5] = True
    forms = {
        "lists": [[0, 7], [1, 3, 4], [], [5]],
        "arrays": [np.array([7, 0]), np.array([1, 3, 4]), np.array([]), np.array([5])],
        "matrix": matrix,
        "bool lists": matrix.tolist(),
        "torch": torch.from_numpy(matrix),
    }
    assert np.array_equal(relevance_matrix(forms[form], 8), matrix)  # type: ignore[arg-type]


def test_ties_count_against_the_query() -> None:
    constant = np.ones((4, 8))
    assert best_ranks(constant, ONE_EACH).tolist() == [8, 8, 8, 8]
    assert recall_at_k(constant, ONE_EACH, 7) == 0.0
    # relevant items tie with each other without harm
    assert best_ranks(constant, [[0, 1, 2]] * 4).tolist() == [6, 6, 6, 6]
    assert best_ranks(np.array([[0.5, 0.5, 0.4]]), [[0]]).tolist() == [2]


@pytest.mark.parametrize("k", [1, 8, 9, 10, 1000])
def test_a_query_without_relevant_items_is_a_miss_at_every_k(k: int) -> None:
    """Also where k exceeds the gallery: R@10 over 8 items."""
    ranks = best_ranks(SIMILARITY, [[0], [], [], []])
    assert ranks.tolist() == [1, NEVER, NEVER, NEVER]
    assert hit_rate(ranks, k) == 0.25
    assert mean_reciprocal_rank(ranks) == pytest.approx(0.25, abs=1e-15)


def test_nan_counts_as_the_farthest() -> None:
    similarity = SIMILARITY.copy()
    similarity[0, 0] = np.nan  # the relevant item itself: last
    similarity[1, 2] = np.nan  # the one ahead of the relevant item: no longer ahead
    similarity[3] = np.nan  # a broken embedding scores as a constant one does
    assert best_ranks(similarity, ONE_EACH).tolist() == [8, 1, 4, 8]


def test_infinite_similarities_keep_their_order() -> None:
    similarity = np.array([[np.inf, 1.0, -np.inf, 2.0], [0.0, -np.inf, np.nan, np.inf]])
    assert best_ranks(similarity, [[3], [1]]).tolist() == [2, 3]


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64"])
def test_other_kinds_of_numbers(dtype: str) -> None:
    similarity = np.array([[3, 1, 2], [1, 2, 3]]).astype(dtype)
    assert best_ranks(similarity, [[2], [2]]).tolist() == [2, 1]


def test_no_queries_and_no_items() -> None:
    empty = best_ranks(np.zeros((0, 8)), np.zeros((0, 8), dtype=bool))
    assert empty.shape == (0,)
    assert hit_rate(empty, 5) == 0.0
    assert mean_reciprocal_rank(empty) == 0.0
    assert best_ranks(np.zeros((2, 0)), [[], []]).tolist() == [NEVER, NEVER]


def test_relevance_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 8\).*\(4, 7\)"):
        best_ranks(SIMILARITY, np.zeros((4, 7), dtype=bool))
    with pytest.raises(ValueError, match=r"\(4, 8\).*\(3, 8\)"):
        best_ranks(SIMILARITY, [[0], [1], [2]])
    with pytest.raises(IndexError):
        best_ranks(SIMILARITY, [[0], [1], [2], [8]])
    with pytest.raises(ValueError, match="query 2 has a negative relevant index: -1"):
        best_ranks(SIMILARITY, [[0], [1], [2, -1], [3]])


def test_against_counting_by_hand() -> None:
    """Random matrices with many ties against the definition in a loop."""
    generator = np.random.default_rng(0)
    similarity = generator.integers(0, 4, size=(30, 12)).astype(float)
    relevant = generator.random((30, 12)) < 0.2
    for query, rank in enumerate(best_ranks(similarity, relevant)):
        own = [similarity[query, j] for j in range(12) if relevant[query, j]]
        ahead = [j for j in range(12) if own and not relevant[query, j] and similarity[query, j] >= max(own)]
        assert rank == (len(ahead) + 1 if own else NEVER)


def test_the_worked_case_of_the_docstring() -> None:
    result = doctest.testmod(metrics)
    assert result.attempted >= 5
    assert result.failed == 0


# ---- many relevant items: ranks 1, 3, 4 of query 0; 2 of query 1; none of query 2; 5, 12 of query 3

RANKS, OFFSETS = np.array([1, 3, 4, 2, 5, 12]), np.array([0, 3, 4, 4, 6])


def test_precision_and_share_found_by_hand() -> None:
    assert precision_at_k(RANKS, OFFSETS, 1).tolist() == [1, 0, 0, 0]
    assert precision_at_k(RANKS, OFFSETS, 4).tolist() == [3 / 4, 1 / 4, 0, 0]
    assert precision_at_k(RANKS, OFFSETS, 10).tolist() == [0.3, 0.1, 0, 0.1]
    assert found_at_k(RANKS, OFFSETS, 3).tolist() == [2 / 3, 1, 0, 0]
    assert found_at_k(RANKS, OFFSETS, 10).tolist() == [1, 1, 0, 0.5]


def test_average_precision_by_hand() -> None:
    expected = [(1 / 1 + 2 / 3 + 3 / 4) / 3, 1 / 2, 0, (1 / 5 + 2 / 12) / 2]
    assert average_precision(RANKS, OFFSETS).tolist() == pytest.approx(expected)


def test_ndcg_by_hand() -> None:
    log = math.log2
    best_three = 1 + 1 / log(3) + 1 / log(4)
    expected = [(1 + 1 / log(4) + 1 / log(5)) / best_three, 1 / log(3), 0, (1 / log(6)) / (1 + 1 / log(3))]
    assert ndcg_at_k(RANKS, OFFSETS, 10).tolist() == pytest.approx(expected)
    assert ndcg_at_k(RANKS, OFFSETS, 2)[0] == pytest.approx(1 / (1 + 1 / log(3)))  # no more than two can be found
    assert ndcg_at_k(np.array([1, 2, 3]), np.array([0, 3]), 2).tolist() == [1]


def test_first_ranks_by_hand() -> None:
    assert first_ranks(RANKS, OFFSETS).tolist() == [1, 2, NEVER, 5]
    assert first_ranks(np.zeros(0, np.int64), np.array([0, 0])).tolist() == [NEVER]
    assert first_ranks(np.zeros(0, np.int64), np.array([0])).shape == (0,)


@given(st.lists(st.sets(st.integers(1, 30), max_size=12), max_size=6), st.integers(1, 12))
def test_lists_of_ranks_against_their_definitions(lists: list[set[int]], k: int) -> None:
    ranks = np.array([rank for one in lists for rank in sorted(one)], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, lists)])
    for query, own in enumerate(lists):
        hits = [place in own for place in range(1, 31)]
        precisions = [sum(hits[: n + 1]) / (n + 1) for n in range(30) if hits[n]]
        gains = [hit / math.log2(n + 2) for n, hit in enumerate(hits[:k])]
        ideal = sum(1 / math.log2(n + 2) for n in range(min(k, len(own))))
        assert average_precision(ranks, offsets)[query] == pytest.approx(sum(precisions) / max(len(own), 1))
        assert precision_at_k(ranks, offsets, k)[query] == pytest.approx(sum(hits[:k]) / k)
        assert found_at_k(ranks, offsets, k)[query] == pytest.approx(sum(hits[:k]) / max(len(own), 1))
        assert ndcg_at_k(ranks, offsets, k)[query] == pytest.approx(sum(gains) / ideal if own else 0)
        assert first_ranks(ranks, offsets)[query] == min(own, default=NEVER)


def test_f1_by_hand() -> None:
    """Class 0: 2 of 3 found, 2 of 4 predicted; class 1: 1 of 1, 1 of 1; class 2 occurs and is never predicted."""
    weighted, macro = f1_by_class(np.array([2.0, 1, 0]), np.array([3.0, 1, 1]), np.array([4.0, 1, 0]))
    assert weighted == pytest.approx((3 * 4 / 7 + 1 * 1 + 1 * 0) / 5)
    assert macro == pytest.approx((4 / 7 + 1 + 0) / 3)
    unseen = f1_by_class(np.array([2.0, 0]), np.array([2.0, 0]), np.array([2.0, 0]))
    assert unseen == (1, 1)  # a class that neither occurs nor is predicted does not count
