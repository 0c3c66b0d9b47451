"""Batches without two pairs of one product or text."""

from __future__ import annotations

import logging
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easynlp_fashionklip.data.samplers import UniqueProductBatchSampler


def clashes(order: np.ndarray, size: int, *keys: np.ndarray) -> int:
    """Rows with a product or text that an earlier row of their batch has, one at a time."""
    count = 0
    for start in range(0, len(order), size):
        seen: set[tuple[int, int]] = set()
        for row in order[start : start + size]:
            own = {(which, int(key[row])) for which, key in enumerate(keys)}
            count += bool(own & seen)
            seen |= own
    return count


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=12, max_size=120), st.integers(2, 12), st.booleans(), st.integers(0, 3))
def test_products_never_meet_themselves_when_batches_are_enough(
    products: list[int], size: int, drop_last: bool, epoch: int
) -> None:
    keys = np.array(products)
    sampler = UniqueProductBatchSampler(keys, np.arange(len(keys)), size, drop_last=drop_last)
    order = sampler.order(epoch)
    assert clashes(order, size, keys) == sampler.unavoidable
    full = len(keys) // size
    if np.bincount(keys).max() <= full:  # also with the last, smaller batch left aside
        assert sampler.unavoidable == 0


@pytest.mark.parametrize("drop_last", [True, False])
def test_products_and_texts_are_kept_apart_together(drop_last: bool) -> None:
    rng = np.random.default_rng(0)
    products, texts = rng.integers(0, 700, 2000), rng.integers(0, 300, 2000)
    sampler = UniqueProductBatchSampler(products, texts, 48, seed=2, drop_last=drop_last)
    chance = np.random.default_rng(1).permutation(2000)
    assert clashes(chance, 48, products, texts) > 150
    for epoch in range(3):
        order = sampler.order(epoch)
        assert clashes(order, 48, products, texts) == sampler.unavoidable == 0


def test_what_cannot_be_avoided_is_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    products = np.repeat(np.arange(4), [20, 5, 5, 10])
    sampler = UniqueProductBatchSampler(products, np.arange(40), 8)
    with caplog.at_level(logging.WARNING):
        for epoch in range(2):
            order = sampler.order(epoch)
            # 5 batches can hold 5 rows of a product apart: 15 of the first and 5 of the last are one too many.
            assert sampler.unavoidable == clashes(order, 8, products) == 20
    assert len(caplog.records) == 1 and "20 of 40 rows" in caplog.text


def test_batches_differ_from_epoch_to_epoch_and_mix_products() -> None:
    products = np.arange(240) // 3
    sampler = UniqueProductBatchSampler(products, np.arange(240), 24)
    met = [{frozenset(products[batch]) for batch in sampler.order(epoch).reshape(10, 24)} for epoch in range(2)]
    assert len(met[0] | met[1]) == 20


def test_a_million_rows_take_seconds() -> None:

    rng = np.random.default_rng(0)
    sampler = UniqueProductBatchSampler(rng.integers(0, 300_000, 1_000_000), rng.integers(0, 400_000, 1_000_000), 64)
    started = time.process_time()
    sampler.order(0)
    assert sampler.unavoidable == 0 and time.process_time() - started < 6
