"""Batch samplers: the same global batches on any number of processes."""

from __future__ import annotations

import pytest

from easynlp_fashionklip.data.samplers import GlobalBatchSampler, ShardedSequentialSampler
from easynlp_fashionklip.errors import InputError


def positions(sampler: GlobalBatchSampler | ShardedSequentialSampler) -> list[list[int]]:
    return [[position for _, position in batch] for batch in sampler]


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_together_see_what_one_sees(world_size: int, drop_last: bool) -> None:
    one = GlobalBatchSampler(44, 8, seed=3, drop_last=drop_last)
    many = [
        GlobalBatchSampler(44, 8 // world_size, rank, world_size, seed=3, drop_last=drop_last)
        for rank in range(world_size)
    ]
    for epoch in (0, 1):
        for sampler in (one, *many):
            sampler.set_epoch(epoch)
        together: list[list[int]] = [sum(slices, []) for slices in zip(*map(positions, many), strict=True)]
        assert together == positions(one)
        assert len(together) == len(one) == len(many[0]) == (5 if drop_last else 6)


def test_an_epoch_has_every_row_once_in_a_new_order() -> None:
    sampler = GlobalBatchSampler(64, 16, seed=1)
    first = sum(positions(sampler), [])
    assert sum(positions(sampler), []) == first
    sampler.set_epoch(1)
    second = sum(positions(sampler), [])
    assert sorted(first) == sorted(second) == list(range(64)) and first != second
    assert sum(positions(GlobalBatchSampler(64, 16, seed=2)), []) != first


def test_the_epoch_travels_with_the_index() -> None:
    sampler = GlobalBatchSampler(4, 2)
    sampler.set_epoch(7)
    assert {epoch for batch in sampler for epoch, _ in batch} == {7}


def test_without_shuffling_rows_come_in_order() -> None:
    assert positions(GlobalBatchSampler(5, 2, shuffle=False)) == [[0, 1], [2, 3]]
    assert positions(GlobalBatchSampler(5, 2, shuffle=False, drop_last=False)) == [[0, 1], [2, 3], [4]]


def test_shares_of_an_uneven_batch_differ_by_one_row() -> None:
    ranks = [GlobalBatchSampler(7, 2, rank, 2, shuffle=False, drop_last=False) for rank in range(2)]
    assert [positions(sampler) for sampler in ranks] == [[[0, 1], [4]], [[2, 3], [5, 6]]]
    ranks = [GlobalBatchSampler(5, 2, rank, 2, shuffle=False, drop_last=False) for rank in range(2)]
    assert [positions(sampler) for sampler in ranks] == [[[0, 1]], [[2, 3]]]
    assert len(ranks[0]) == 1


def test_resuming_in_the_middle_of_an_epoch() -> None:
    sampler = GlobalBatchSampler(20, 4, seed=5)
    sampler.set_epoch(2)
    whole = positions(sampler)
    sampler.set_start_batch(3)
    assert positions(sampler) == whole[3:] and len(sampler) == 5
    sampler.set_epoch(2)
    assert positions(sampler) == whole
    sampler.set_start_batch(5)
    assert positions(sampler) == []
    with pytest.raises(ValueError, match="batch 6"):
        sampler.set_start_batch(6)


def test_too_few_rows_for_a_batch() -> None:
    with pytest.raises(InputError, match=r"has 10 usable rows but one batch takes 16.*at most 5"):
        GlobalBatchSampler(10, 8, 0, 2)
    with pytest.raises(InputError, match="1 usable rows"):
        GlobalBatchSampler(1, 8, 0, 2, drop_last=False)
    assert len(GlobalBatchSampler(10, 8, 0, 2, drop_last=False)) == 1
    with pytest.raises(InputError, match="micro_batch_size=0"):
        GlobalBatchSampler(10, 0)
    with pytest.raises(ValueError, match="rank 2"):
        GlobalBatchSampler(10, 1, 2, 2)


@pytest.mark.parametrize("num_rows", [0, 1, 7, 8, 23])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_loses_and_repeats_no_row(num_rows: int, world_size: int) -> None:
    shards = [ShardedSequentialSampler(num_rows, 4, rank, world_size) for rank in range(world_size)]
    batches = [positions(shard) for shard in shards]
    assert sum((sum(shard, []) for shard in batches), []) == list(range(num_rows))
    assert [len(shard) for shard in shards] == [len(shard) for shard in batches]
    assert max(len(batch) for batch in [[], *sum(batches, [])]) <= 4
