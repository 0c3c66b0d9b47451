"""Warm-up, cosine, and which parameters decay."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from easynlp_fashionklip.freezing import parse_freezing
from easynlp_fashionklip.models.concept_texts import ConceptTexts, Vocabulary
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained
from easynlp_fashionklip.training.optimization import AdamW, parameter_groups, warmup_cosine


@pytest.fixture
def tiny() -> DualEncoder:
    return load_pretrained("tiny")


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
    decaying, others = parameter_groups(model, 0.2, 0.1)
    assert decaying["weight_decay"] == 0.2
    assert others["weight_decay"] == 0.0
    assert decaying["lr"] == others["lr"] == 0.1
    assert [id(one) for one in decaying["params"]] == [id(model[0].weight)]
    assert {id(one) for one in others["params"]} == {
        id(one) for one in (model[0].bias, model[1].weight, model[1].bias, model[2].bias)
    }


def test_a_group_without_parameters_is_left_out() -> None:
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    assert len(parameter_groups(model, 0.2, 0.1)) == 1
    model.requires_grad_(False)
    assert parameter_groups(model, 0.2, 0.1) == []


def rate_of_each(groups: list[dict[str, Any]]) -> dict[int, float]:
    return {id(parameter): group["lr"] for group in groups for parameter in group["params"]}


def test_layer_decay_multiplies_by_depth(tiny: DualEncoder) -> None:
    """Two layers in each tower: by hand, what of CLIP's names is how far below the head."""
    groups = parameter_groups(nn.ModuleDict({"app": tiny}), 0.2, 0.1, layer_decay=0.5)
    found = rate_of_each(groups)
    steps = {
        "embeddings.": 3,
        "pre_layrnorm.": 3,
        "encoder.layers.0.": 2,
        "encoder.layers.1.": 1,
        "post_layernorm.": 1,
        "final_layer_norm.": 1,
        "projection.": 0,
        "logit_scale": 0,
    }
    seen = set()
    for name, parameter in tiny.named_parameters():
        (part,) = [one for one in steps if one in name]
        assert found[id(parameter)] == pytest.approx(0.1 * 0.5 ** steps[part], rel=1e-12), name
        seen.add(part)
    assert seen == set(steps)
    assert sum(len(group["params"]) for group in groups) == len(list(tiny.parameters()))
    assert [group["lr"] for group in groups] == sorted((group["lr"] for group in groups), reverse=True)
    for group in groups:
        assert {parameter.ndim >= 2 for parameter in group["params"]} == {group["weight_decay"] == 0.2}


def test_frozen_layers_are_in_no_group(tiny: DualEncoder) -> None:
    tiny.freeze(parse_freezing("text,layers:1"))
    rates = {round(group["lr"], 9) for group in parameter_groups(tiny, 0.2, 0.1, layer_decay=0.5)}
    assert rates == {0.1, 0.05}


def test_without_layer_decay_there_are_two_groups(tiny: DualEncoder) -> None:
    assert [group["weight_decay"] for group in parameter_groups(tiny, 0.2, 0.1)] == [0.2, 0.0]


def test_the_schedule_keeps_the_ratios(tiny: DualEncoder) -> None:
    optimizer = AdamW(parameter_groups(tiny, 0.2, 0.1, layer_decay=0.8), 0.1, 10)
    schedule = warmup_cosine(optimizer, 2, 10)
    ratios = [group["lr"] / optimizer.get_current_lr() for group in optimizer.param_groups]
    assert sorted({round(ratio, 9) for ratio in ratios}) == [0.512, 0.64, 0.8, 1.0]
    for step in range(9):
        expected = 0.1 * ((step + 1) / 2 if step < 2 else 0.5 * (1 + math.cos(math.pi * (step - 2) / 8)))
        assert optimizer.get_current_lr() == pytest.approx(expected)
        assert [group["lr"] / optimizer.get_current_lr() for group in optimizer.param_groups] == pytest.approx(ratios)
        optimizer.step()
        schedule.step()


def test_fused_steps_are_those_of_plain_adamw() -> None:
    """Rates and decay by group, a parameter without gradient, ten steps."""
    finals = []
    for kind in ("ours", "plain"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3), nn.Linear(3, 3))
        groups = parameter_groups(model, 0.2, 0.01)
        groups[1]["lr"] = 0.003
        optimizer = AdamW(groups, 0.01, 10) if kind == "ours" else torch.optim.AdamW(groups, 0.01, foreach=False)
        assert bool(optimizer.param_groups[0]["fused"]) == (kind == "ours")
        for _ in range(10):
            optimizer.zero_grad()
            model[:3](torch.randn(4, 5)).square().sum().backward()
            optimizer.step()
        finals.append([parameter.detach().clone() for parameter in model.parameters()])
    for one, other in zip(*finals, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_a_saved_optimizer_goes_on_bit_for_bit() -> None:
    gradients = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))

    def run(optimizer: AdamW, parameter: nn.Parameter, steps: range) -> None:
        for step in steps:
            parameter.grad = gradients[step].clone()
            optimizer.step()

    def start() -> tuple[nn.Parameter, AdamW]:
        parameter = nn.Parameter(torch.ones(4))
        return parameter, AdamW([{"params": [parameter]}], 0.1, 6)

    whole, optimizer = start()
    run(optimizer, whole, range(6))
    half, optimizer = start()
    run(optimizer, half, range(3))
    resumed, other = start()
    resumed.data.copy_(half.data)
    other.load_state_dict(optimizer.state_dict())
    run(other, resumed, range(3, 6))
    assert torch.equal(resumed, whole)


def test_what_easynlp_asks_an_optimizer_for() -> None:
    optimizer = AdamW([{"params": [nn.Parameter(torch.zeros(1))]}], 0.3, 17)
    assert optimizer.total_training_steps == 17
    assert optimizer.get_current_lr() == pytest.approx(0.3)
    assert optimizer.get_current_lr(None) == pytest.approx(0.3)


def test_node_embeddings_have_a_rate_of_their_own_and_do_not_decay(tiny: DualEncoder) -> None:
    tiny.concepts = ConceptTexts(Vocabulary(["dress", "jeans"], ""), tiny.embed_dim, 1.0)
    groups = parameter_groups(tiny, 0.1, 1e-3, node_learning_rate=0.02)
    assert groups[-1] == {"params": [tiny.concepts.nodes], "weight_decay": 0.0, "lr": 0.02}
    others = [parameter for group in groups[:-1] for parameter in group["params"]]
    assert all(parameter is not tiny.concepts.nodes for parameter in others)
    assert {group["lr"] for group in groups[:-1]} == {1e-3}
    tiny.concepts.nodes.requires_grad_(False)
    assert all(group["lr"] == 1e-3 for group in parameter_groups(tiny, 0.1, 1e-3, node_learning_rate=0.02))
