"""Batches that share a category."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easynlp_fashionklip.data.samplers import GroupedBatchSampler
from easynlp_fashionklip.errors import InputError


def commonest(groups: np.ndarray, batch: np.ndarray) -> int:
    """Rows of the batch's commonest category."""
    known = groups[batch][groups[batch] >= 0]
    return int(np.bincount(known, minlength=1).max())


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1.0])
def test_each_batch_has_its_share_of_one_category(ratio: float) -> None:
    groups = np.random.default_rng(0).choice(20, 3200, p=np.full(20, 0.05))
    sampler = GroupedBatchSampler(groups, 32, seed=1, group_ratio=ratio)
    batches = sampler.order(0).reshape(100, 32)
    found = np.array([commonest(groups, batch) for batch in batches])
    full = found >= round(ratio * 32)
    assert full.mean() == 1.0 if ratio < 1 else full.mean() > 0.85  # the remainders of 20 categories fill no batch
    shuffled = np.array(
        [commonest(groups, batch) for batch in np.random.default_rng(1).permutation(3200).reshape(100, 32)]
    )
    assert found.mean() > 1.4 * shuffled.mean()


def test_no_share_of_one_category_is_chance() -> None:
    groups = np.arange(640) % 10
    batches = GroupedBatchSampler(groups, 32, group_ratio=0.0).order(0).reshape(20, 32)
    assert np.mean([commonest(groups, batch) for batch in batches]) < 8


def test_categories_come_as_often_as_they_are_large() -> None:
    groups = np.repeat([0, 1, 2, -1], [6000, 3000, 1000, 2800])
    batches = GroupedBatchSampler(groups, 64, group_ratio=0.5).order(0).reshape(200, 64)
    leading = np.array([np.bincount(groups[batch][groups[batch] >= 0]).argmax() for batch in batches])
    share = np.bincount(leading) / 200
    assert np.abs(share - [0.6, 0.3, 0.1]).max() < 0.1


def test_both_kinds_reach_every_process() -> None:
    groups = np.arange(4000) % 40
    ranks = [GroupedBatchSampler(groups, 32, rank, 2, group_ratio=0.5) for rank in range(2)]
    for first, second in zip(*ranks, strict=True):
        leading = np.bincount(groups[[row for _, row in first + second]]).argmax()
        for share in (first, second):
            assert 5 < sum(groups[row] == leading for _, row in share) < 30


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1, 5), min_size=10, max_size=80), st.integers(2, 10), st.floats(0, 1), st.booleans())
def test_any_categories_give_whole_batches(found: list[int], size: int, ratio: float, drop_last: bool) -> None:
    groups = np.array([*found, 0])
    sampler = GroupedBatchSampler(groups, size, group_ratio=ratio, drop_last=drop_last)
    order = sampler.order(0)
    assert len(np.unique(order)) == len(order) == (len(groups) // size * size if drop_last else len(groups))


def test_rows_without_any_category() -> None:
    with pytest.raises(InputError, match="no row of the training table has a category"):
        GroupedBatchSampler(np.full(10, -1), 2)
    with pytest.raises(InputError, match="group_ratio=2"):
        GroupedBatchSampler(np.zeros(10), 2, group_ratio=2)
