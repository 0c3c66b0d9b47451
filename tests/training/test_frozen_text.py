"""What the cache returns is what the tower would have computed, within its budget."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from easynlp_fashionklip.training.frozen_text import FrozenTextCache

TABLE = torch.arange(30.0).reshape(10, 3)


class Tower:
    """Looks rows up in TABLE and notes what it was asked."""

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        self.asked: list[int] = []

    def __call__(self, positions: Tensor) -> Tensor:
        self.asked += self.keys[positions].tolist()
        return TABLE[self.keys[positions]]


def ask(cache: FrozenTextCache, keys: list[int]) -> list[int]:
    tower = Tower(torch.tensor(keys))
    torch.testing.assert_close(cache.get(torch.tensor(keys), tower), TABLE[keys], rtol=0, atol=0)
    return tower.asked


def test_known_texts_are_not_computed_again() -> None:
    cache = FrozenTextCache(10)
    assert ask(cache, [7, 2, 9]) == [7, 2, 9]
    assert ask(cache, [2, 9]) == []
    assert ask(cache, [2, 3, 7, 0]) == [3, 0]


def test_a_text_twice_in_a_batch() -> None:
    cache = FrozenTextCache(10)
    ask(cache, [4, 4, 1])
    assert ask(cache, [1, 4, 4]) == []


@pytest.mark.parametrize("capacity", [0, 4, 10])
def test_keys_beyond_the_budget_are_computed_each_time(capacity: int) -> None:
    cache = FrozenTextCache(10, budget=capacity * 3 * 4)
    ask(cache, list(range(10)))
    assert ask(cache, [9, 3, 5, 0]) == [key for key in (9, 3, 5, 0) if key >= capacity]
    assert ask(cache, [3]) == ([] if capacity > 3 else [3])


def test_it_is_never_larger_than_its_table() -> None:
    cache = FrozenTextCache(10, budget=1 << 30)
    ask(cache, [0])
    assert cache._outputs.shape == (10, 3)


def test_no_gradient_is_kept() -> None:
    cache = FrozenTextCache(2)
    weight = torch.ones(2, 3, requires_grad=True)
    assert not cache.get(torch.tensor([0, 1]), lambda positions: weight[positions] * 2).requires_grad
