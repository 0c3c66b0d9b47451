"""MMR against a plain loop."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
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


@pytest.fixture(scope="module")
def keybert_mmr() -> Callable[..., list[tuple[int, float]]]:
    """keybert's own function, without the package around it, which needs sentence-transformers."""
    pytest.importorskip("sklearn")
    package = importlib.util.find_spec("keybert")
    if package is None or not package.submodule_search_locations:
        pytest.skip("keybert is not installed: pip install --no-deps keybert")
    spec = importlib.util.spec_from_file_location(
        "keybert_mmr", Path(package.submodule_search_locations[0]) / "_mmr.py"
    )
    assert spec is not None and spec.loader is not None
    module = ModuleType("keybert_mmr")
    spec.loader.exec_module(module)
    return module.mmr


@pytest.mark.parametrize("diversity", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_like_keybert(diversity: float, keybert_mmr: Callable[..., list[tuple[int, float]]]) -> None:
    """30 concepts of 24 candidates, in one call here. keybert sorts its choice: asking for one more shows the next."""
    rng = np.random.default_rng(7)
    prompts, images = rng.normal(size=(30, 1, 16)), rng.normal(size=(30, 24, 16)) + rng.normal(size=(30, 1, 16))
    prompts /= np.linalg.norm(prompts, axis=2, keepdims=True)
    images /= np.linalg.norm(images, axis=2, keepdims=True)
    query = torch.from_numpy((images @ prompts.transpose(0, 2, 1))[:, :, 0])
    between = torch.from_numpy(images @ images.transpose(0, 2, 1))
    indices, valid = maximal_marginal_relevance(query, between, torch.ones(30, 24).bool(), 10, diversity)
    assert valid.all()
    for concept in range(30):
        chosen: list[int] = []
        for top in range(1, 11):
            found = keybert_mmr(prompts[concept], images[concept], list(range(24)), top, diversity)
            assert len(found) == top
            chosen += [row for row, _ in found if row not in chosen]
        assert indices[concept].tolist() == chosen


def test_excluded_pairs_are_never_both_chosen() -> None:
    """1 is a twin of 0, which wins; 3 of 2. Excluding something not chosen changes nothing."""
    query = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5]])
    between = torch.eye(5)[None]
    excludes = torch.zeros(1, 5, 5, dtype=torch.bool)
    for one, other in ((0, 1), (2, 3), (1, 4)):
        excludes[0, one, other] = excludes[0, other, one] = True
    everything = torch.ones(1, 5, dtype=torch.bool)
    indices, valid = maximal_marginal_relevance(query, between, everything, 5, 0.0, excludes)
    assert indices[valid].tolist() == [0, 2, 4]
    assert valid.tolist() == [[True, True, True, False, False]]


def test_an_excluded_pair_of_nothing_left() -> None:
    """A query without candidates excludes nobody."""
    none, every = torch.zeros(1, 2, dtype=torch.bool), torch.ones(1, 2, 2)
    assert not maximal_marginal_relevance(torch.ones(1, 2), every, none, 2, 0.5, every.bool())[1].any()


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
