"""Tiled ranks on matrices written by hand and against a plain loop."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easynlp_fashionklip.evaluation.ranking import (
    TIE,
    candidate_ranks,
    nearest,
    ranks_by_key,
    relevant_ranks,
)
from easynlp_fashionklip.metrics import NEVER, best_ranks

CPU = torch.device("cpu")
# Queries are unit axes, so that the gallery's transpose is the similarity matrix.
SIMILARITY = np.array(
    [
        [0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
        [0.1, 0.8, 0.9, 0.2, 0.3, 0.4, 0.5, 0.6],
        [0.8, 0.7, 0.3, 0.9, 0.1, 0.2, 0.0, -0.1],
        [0.8, 0.7, 0.6, -0.5, 0.5, 0.4, 0.3, 0.2],
    ]
)
AXES = np.eye(4)


def test_a_matrix_by_hand_in_both_directions() -> None:
    """Keys 0..3 are the four queries'; gallery items 4 to 7 belong to queries 0 to 3 too."""
    keys = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    forth, back = ranks_by_key(AXES, SIMILARITY.T, np.arange(4), keys, device=CPU)
    # Query 0 has items 0 (0.9, first) and 4. Query 1: items 1 (0.8) behind item 2. Query 2: items 2 (0.3) and 6 (0.0),
    # behind 0.8, 0.7 and 0.9. Query 3: items 3 and 7 (0.2), behind all other six.
    assert forth.tolist() == [1, 2, 4, 7]
    # Item 0 asks the four queries: 0.9 of its own first. Item 1: 0.8 first. Item 2: own 0.3, behind 0.9 and 0.6.
    # Item 3: own -0.5, last. Item 4: own 0.4, behind 0.5. Item 5: own 0.4, behind 0.5, and equal to query 3's 0.4.
    # Item 6: own 0.0, last. Item 7: own 0.2, behind 0.7 and 0.6.
    assert back.tolist() == [1, 1, 3, 4, 2, 3, 4, 3]


def test_ties_count_against_the_query() -> None:
    same = np.ones((8, 3))
    keys = np.arange(8)
    forth, back = ranks_by_key(same, same, keys, keys, device=CPU)
    assert forth.tolist() == back.tolist() == [8] * 8
    halves = keys // 4  # relevant items tie with each other without harm
    assert ranks_by_key(same, same, halves, halves, device=CPU)[0].tolist() == [5] * 8
    assert candidate_ranks(same[:1], same, np.array([[2, 0, 1]]), device=CPU).tolist() == [3]
    assert relevant_ranks(same[:1], same, np.array([0, 2]), np.array([3, 5]), device=CPU).tolist() == [7, 8]


def test_scores_nearer_than_the_documented_limit_are_ties() -> None:
    query, keys = np.array([[1.0, 0.0]]), np.array([1, 2])
    for gap, rank in ((TIE / 10, 2), (TIE * 10, 1)):
        gallery = np.array([[0.5, 0.0], [0.5 - gap, 0.0]])
        assert ranks_by_key(query, gallery, np.array([1]), keys, device=CPU)[0].tolist() == [rank]


def test_what_is_relevant_to_nothing_ranks_never() -> None:
    forth, back = ranks_by_key(AXES, SIMILARITY.T, np.array([0, 1, 2, 99]), np.arange(8) % 3, device=CPU)
    assert forth[3] == NEVER and (forth[:3] < 9).all()
    assert (back < 5).all()
    lonely = ranks_by_key(AXES, SIMILARITY.T, np.arange(4), np.full(8, 50), device=CPU)
    assert (lonely[0] == NEVER).all() and (lonely[1] == NEVER).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 6),
    st.sampled_from([1, 5, 17, 1 << 20]),
)
def test_against_a_loop(seed: int, queries: int, items: int, keys: int, tile: int) -> None:
    """Small whole numbers, so that ties are many and sums exact, and any number of relevant items a query."""
    random = np.random.default_rng(seed)
    left, right = random.integers(-2, 3, (queries, 3)), random.integers(-2, 3, (items, 3))
    left_keys, right_keys = random.integers(0, keys, queries), random.integers(0, keys, items)
    similarity = (left @ right.T).astype(float)
    relevant = left_keys[:, None] == right_keys
    forth, back = ranks_by_key(left, right, left_keys, right_keys, device=CPU, tile_numbers=tile)
    assert forth.tolist() == _by_hand(similarity, relevant) == best_ranks(similarity, relevant).tolist()
    assert back.tolist() == _by_hand(similarity.T, relevant.T)


def _by_hand(similarity: np.ndarray, relevant: np.ndarray) -> list[int]:
    ranks = []
    for scores, own in zip(similarity.tolist(), relevant.tolist(), strict=True):
        best = max((score for score, right in zip(scores, own, strict=True) if right), default=None)
        wrong = [score for score, right in zip(scores, own, strict=True) if not right]
        ranks.append(NEVER if best is None else 1 + sum(score >= best for score in wrong))
    return ranks


@pytest.mark.parametrize("tile", [1, 100, 1 << 20])
def test_every_relevant_product_has_its_rank(tile: int) -> None:
    random = np.random.default_rng(1)
    queries, documents = random.normal(size=(7, 5)), random.normal(size=(30, 5))
    product = np.arange(30) % 11  # several documents a product: the nearest one counts
    relevant = [sorted(random.permutation(11)[: 1 + n].tolist()) for n in range(7)]
    offsets = np.cumsum([0, *map(len, relevant)])
    items = np.concatenate(relevant)
    found = relevant_ranks(queries, documents, offsets, items, product, device=CPU, tile_numbers=tile)
    for number, own in enumerate(relevant):
        scores = [max(queries[number] @ documents[d] for d in range(p, 30, 11)) for p in range(11)]
        order = sorted(range(11), key=lambda p: -scores[p])
        assert found[offsets[number] : offsets[number + 1]].tolist() == sorted(order.index(p) + 1 for p in own)


def test_a_broken_embedding_is_refused_by_row() -> None:
    broken = SIMILARITY.T.copy()
    broken[5, 1] = np.nan
    with pytest.raises(ValueError, match="row 5 of the gallery embeddings"):
        ranks_by_key(AXES, broken, np.arange(4), np.arange(8), device=CPU)
    with pytest.raises(ValueError, match="shape"):
        ranks_by_key(AXES[0], broken, np.arange(4), np.arange(8), device=CPU)


def test_nothing_asked() -> None:
    forth, back = ranks_by_key(np.zeros((0, 4)), SIMILARITY.T, np.zeros(0, np.int64), np.arange(8), device=CPU)
    assert forth.shape == (0,) and (back == NEVER).all()
    assert nearest(np.zeros((0, 4)), SIMILARITY.T, 3, device=CPU)[0].shape == (0, 3)


def test_nearest_rows_come_first() -> None:
    rows, similarity = nearest(AXES, SIMILARITY.T, 2, device=CPU)
    assert rows.tolist() == [[0, 7], [2, 1], [3, 0], [0, 1]]
    assert similarity[0].tolist() == [0.9, 0.7]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_ranks_alike() -> None:
    random = np.random.default_rng(0)
    left, right = random.normal(size=(300, 64)).astype(np.float32), random.normal(size=(300, 64)).astype(np.float32)
    keys = random.integers(0, 90, 300)
    for here, there in zip(
        ranks_by_key(left, right, keys, keys, device=CPU),
        ranks_by_key(left, right, keys, keys, device=torch.device("cuda")),
        strict=True,
    ):
        assert np.array_equal(here, there)


@pytest.mark.parametrize("near", [3, 150])
def test_scores_that_float32_cannot_tell_apart_are_told_apart(near: int) -> None:
    """Some or most of the gallery (then whole tiles are of float64) lies within float32's error of the best."""
    random = np.random.default_rng(0)
    left = random.normal(size=(40, 32))
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    right = random.normal(size=(200, 32))
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    right[:near] = left[0] + 1e-8 * random.normal(size=(near, 32))  # their scores with query 0 differ by about 1e-8
    left_keys, right_keys = np.arange(40), random.permutation(200) % 40
    right_keys[:near] = 1 + np.arange(near) % 39
    right_keys[near // 2] = 0
    similarity = left @ right.T
    scores = similarity[0, :near].astype(np.float32)
    assert near == 3 or len(np.unique(scores)) < near  # float32 alone would see ties
    forth, back = ranks_by_key(left, right, left_keys, right_keys, device=CPU)
    relevant = left_keys[:, None] == right_keys
    assert forth.tolist() == _by_hand_within(similarity, relevant)
    assert back.tolist() == _by_hand_within(similarity.T, relevant.T)


def _by_hand_within(similarity: np.ndarray, relevant: np.ndarray) -> list[int]:
    best = np.where(relevant, similarity, -np.inf).max(axis=1, keepdims=True)
    return (1 + ((similarity >= best - TIE) & ~relevant).sum(axis=1)).tolist()


def test_a_collapsed_encoder_is_ranked_in_no_time() -> None:
    same = np.full((1500, 8), 8**-0.5, dtype=np.float32)
    keys = np.arange(1500)
    assert (ranks_by_key(same, same, keys, keys, device=CPU)[0] == 1500).all()


PRECISIONS = """
import numpy as np, torch
from easynlp_fashionklip.evaluation.ranking import ranks_by_key
random, keys, cpu = np.random.default_rng(0), np.arange(300), torch.device("cpu")
left, right = random.normal(size=(2, 300, 64)).astype(np.float32)
plain = ranks_by_key(left, right, keys, keys, device=cpu)
torch.set_float32_matmul_precision("medium")
with torch.autocast("cpu", dtype=torch.bfloat16):
    found = ranks_by_key(left, right, keys, keys, device=cpu)
assert all(np.array_equal(*pair) for pair in zip(plain, found, strict=True))
assert torch.get_float32_matmul_precision() == "medium"
torch.set_float32_matmul_precision("highest")
part = torch.backends.mkldnn.matmul
if hasattr(part, "fp32_precision"):  # torch's newer interface, after which the older one raises
    part.fp32_precision = "bf16"
    found = ranks_by_key(left, right, keys, keys, device=cpu)
    assert all(np.array_equal(*pair) for pair in zip(plain, found, strict=True))
    assert part.fp32_precision == "bf16"
similarity = torch.from_numpy(left).bfloat16() @ torch.from_numpy(right).bfloat16().T
rough = (similarity >= similarity.diagonal()[:, None]).sum(1).numpy()
assert (rough != plain[0]).sum() > 20  # bfloat16 would have changed dozens of ranks
"""


def test_the_callers_precision_does_not_matter() -> None:
    """In a process of its own: torch's settings do not all go back."""
    done = subprocess.run([sys.executable, "-c", PRECISIONS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
