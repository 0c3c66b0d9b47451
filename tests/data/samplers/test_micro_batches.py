"""Properties of every training sampler: rows, shares, micro-batches, resuming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.samplers import (
    GlobalBatchSampler,
    GroupedBatchSampler,
    SampleIndex,
    UniqueProductBatchSampler,
    training_sampler,
)
from easynlp_fashionklip.errors import InputError

KINDS = ("shuffle", "unique_product", "grouped")
Make = Callable[[int, int], GlobalBatchSampler]


@dataclass(frozen=True)
class Case:
    """One way to cut an epoch, apart from rank and number of processes."""

    kind: str
    num_rows: int
    micro: int
    batch: int
    drop_last: bool
    seed: int

    def sampler(self, rank: int, world: int) -> GlobalBatchSampler:
        rng = np.random.default_rng(self.seed)
        product_keys, text_keys, groups = (rng.integers(-1, limit, self.num_rows) for limit in (30, 9, 4))
        groups[0] = 0
        config = AppConfig(
            batch_sampler=self.kind,  # type: ignore[arg-type]
            drop_last=self.drop_last,
            contrastive_batch_size=self.batch,
        )
        return training_sampler(
            config, product_keys, text_keys, self.micro, rank=rank, world_size=world, seed=self.seed, groups=groups
        )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    batch = draw(st.integers(4, 24))
    return Case(
        kind=draw(st.sampled_from(KINDS)),
        num_rows=draw(st.integers(batch, 90)),
        micro=draw(st.integers(1, 26)),
        batch=batch,
        drop_last=draw(st.booleans()),
        seed=draw(st.integers(0, 3)),
    )


def contrastive_batches(sampler: GlobalBatchSampler, first: int = 0) -> list[list[list[SampleIndex]]]:
    """The micro-batches grouped as `micro_batches` says."""
    every = iter(sampler)
    grouped = [[next(every) for _ in range(sampler.micro_batches(b))] for b in range(first, len(sampler))]
    assert next(every, None) is None
    return grouped


def rows(shares: list[list[list[SampleIndex]]]) -> list[int]:
    return [position for share in shares for part in share for _, position in part]


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(1, 4), st.integers(0, 2))
def test_processes_share_the_batches_of_one(case: Case, world: int, epoch: int) -> None:
    one, ranks = case.sampler(0, 1), [case.sampler(rank, world) for rank in range(world)]
    for sampler in (one, *ranks):
        sampler.set_epoch(epoch)
    whole = contrastive_batches(one)
    split = list(zip(*map(contrastive_batches, ranks), strict=True))
    left = case.num_rows % case.batch
    assert len(whole) - len(split) == (not case.drop_last and 0 < left < world)  # too few rows for all processes
    for number, shares in enumerate(split):
        assert rows(list(shares)) == rows([whole[number]])
        sizes = [sum(map(len, share)) for share in shares]
        assert max(sizes) - min(sizes) <= 1
        parts = [len(part) for share in shares for part in share]
        assert min(parts) >= 1 and max(parts) <= max(case.micro, 2 if sizes != [case.batch] else case.micro)
        assert len({len(share) for share in shares}) == 1


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(0, 2))
def test_an_epoch_has_no_row_twice_and_leaves_out_only_what_fills_no_batch(case: Case, epoch: int) -> None:
    sampler = case.sampler(0, 1)
    sampler.set_epoch(epoch)
    batches = contrastive_batches(sampler)
    seen = rows(batches)
    assert len(seen) == len(set(seen)) and set(seen) <= set(range(case.num_rows))
    left = case.num_rows % case.batch if case.drop_last else 0
    assert len(seen) == case.num_rows - left
    assert {index[0] for batch in batches for part in batch for index in part} == {epoch}
    again = case.sampler(0, 1)
    again.set_epoch(epoch)
    assert contrastive_batches(again) == batches


@settings(max_examples=60, deadline=None)
@given(cases(), st.data())
def test_resuming_counts_contrastive_batches(case: Case, data: st.DataObject) -> None:
    sampler = case.sampler(0, 1)
    sampler.set_epoch(1)
    whole = contrastive_batches(sampler)
    start = data.draw(st.integers(0, len(sampler)))
    sampler.set_start_batch(start)
    assert contrastive_batches(sampler, start) == whole[start:]
    sampler.set_epoch(1)
    assert contrastive_batches(sampler) == whole


def test_the_last_batch_may_have_fewer_micro_batches() -> None:
    sampler = GlobalBatchSampler(26, 4, contrastive_batch_size=10, drop_last=False, shuffle=False)
    assert [sampler.micro_batches(b) for b in range(len(sampler))] == [3, 3, 2]
    assert [len(part) for part in sampler] == [4, 3, 3, 4, 3, 3, 3, 3]
    uneven = [GlobalBatchSampler(7, 1, rank, 2, contrastive_batch_size=3, shuffle=False) for rank in range(2)]
    assert [[len(part) for part in one] for one in uneven] == [[1, 1], [2, 2]]


def test_a_contrastive_batch_that_cannot_be() -> None:
    with pytest.raises(
        InputError, match=r"10 usable rows but one batch takes 16.*contrastive_batch_size to at most 10"
    ):
        GlobalBatchSampler(10, 4, contrastive_batch_size=16)
    with pytest.raises(InputError, match="contrastive_batch_size=2 is smaller than the number of processes, 3"):
        GlobalBatchSampler(10, 4, 0, 3, contrastive_batch_size=2)
    with pytest.raises(InputError, match="contrastive_batch_size=-1"):
        GlobalBatchSampler(10, 4, contrastive_batch_size=-1)


def test_the_settings_choose_the_sampler() -> None:
    keys = np.arange(8)
    assert type(training_sampler(AppConfig(), keys, keys, 4)) is GlobalBatchSampler
    unique = training_sampler(AppConfig(batch_sampler="unique_product"), keys, keys, 4)
    assert isinstance(unique, UniqueProductBatchSampler)
    config = AppConfig(batch_sampler="grouped", group_ratio=0.25)
    grouped = training_sampler(config, keys, keys, 4, groups=np.zeros(8, dtype=np.int64))
    assert isinstance(grouped, GroupedBatchSampler) and grouped.group_rows == 1
    with pytest.raises(InputError, match="batch_sampler=grouped takes categories.*cva=true"):
        training_sampler(config, keys, keys, 4)
