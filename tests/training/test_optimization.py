"""Warm-up, cosine, and which parameters decay."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from easynlp_fashionklip.training.optimization import AdamW, parameter_groups, warmup_cosine


def rates(warmup: int, total: int) -> list[float]:
    optimizer = AdamW([{"params": [nn.Parameter(torch.zeros(1))]}], 0.1, total)
    schedule = warmup_cosine(optimizer, warmup, total)
    found = []
    for _ in range(total + 2):
        found.append(optimizer.get_current_lr())
        optimizer.step()
        schedule.step()
    return found


def test_linear_warm_up_then_cosine_to_zero() -> None:
    found = rates(4, 12)
    assert found[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    expected = [0.05 * (1 + math.cos(math.pi * step / 8)) for step in range(9)]
    assert found[4:13] == pytest.approx(expected)
    assert found[13] == pytest.approx(0.0)


@pytest.mark.parametrize(("warmup", "total"), [(0, 3), (3, 3), (1, 1), (0, 1)])
def test_short_runs_start_above_zero(warmup: int, total: int) -> None:
    found = rates(warmup, total)
    assert found[0] > 0
    assert all(0 <= rate <= 0.1 for rate in found)


def test_only_matrices_decay_and_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 2))
    model[2].weight.requires_grad_(False)
    decaying, others = parameter_groups(model, 0.2)
    assert decaying["weight_decay"] == 0.2
    assert others["weight_decay"] == 0.0
    assert [id(one) for one in decaying["params"]] == [id(model[0].weight)]
    assert {id(one) for one in others["params"]} == {
        id(one) for one in (model[0].bias, model[1].weight, model[1].bias, model[2].bias)
    }


def test_what_easynlp_asks_an_optimizer_for() -> None:
    optimizer = AdamW([{"params": [nn.Parameter(torch.zeros(1))]}], 0.3, 17)
    assert optimizer.total_training_steps == 17
    assert optimizer.get_current_lr() == pytest.approx(0.3)
    assert optimizer.get_current_lr(None) == pytest.approx(0.3)
