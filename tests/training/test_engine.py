"""LocalEngine: PyTorch's own step, a step that is skipped without a trace, and a state that goes on exactly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.training.contrastive_step import contrastive_step
from easynlp_fashionklip.training.engine import Engine, LocalEngine
from easynlp_fashionklip.training.optimization import AdamW, parameter_groups, warmup_cosine
from easynlp_fashionklip.training.task import FashionKLIPTask

CPU = torch.device("cpu")
Make = Callable[..., Any]


def engine_of(task: FashionKLIPTask, max_grad_norm: float = 1.0, dtype: torch.dtype = torch.float32) -> LocalEngine:
    optimizer = AdamW(parameter_groups(task, 0.1, 1e-2), 1e-2, 10)
    schedule = warmup_cosine(optimizer, 2, 10)
    return LocalEngine(task, task.model, optimizer, schedule, max_grad_norm=max_grad_norm, dtype=dtype)


def weights(task: FashionKLIPTask) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in task.model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_it_fits_the_protocol(make_task: Make) -> None:
    engine: Engine = engine_of(make_task())
    assert engine.learning_rate() == pytest.approx(5e-3)  # the first of two warm-up steps
    with engine.whole():
        assert "logit_scale" in engine.weights()


@pytest.mark.parametrize("max_grad_norm", [0.0, 0.5])
def test_a_step_is_pytorchs(make_task: Make, make_batch: Make, max_grad_norm: float) -> None:
    task, plain = make_task(), make_task()
    engine = engine_of(task, max_grad_norm)
    losses = contrastive_step(task, engine, [make_batch(task, [0, 1, 2, 3])])
    result = engine.step()

    optimizer = AdamW(parameter_groups(plain, 0.1, 5e-3), 5e-3, 10)
    loss = plain.compute_loss(plain(make_batch(plain, [0, 1, 2, 3])))["loss"]
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), max_grad_norm or float("inf"))
    optimizer.step()
    assert losses["loss"].item() == loss.item() and not losses["loss"].requires_grad
    assert result.grad_norm == pytest.approx(float(norm)) and not result.skipped
    assert same(weights(task), weights(plain))
    assert engine.learning_rate() == pytest.approx(1e-2)
    assert all(parameter.grad is None for parameter in task.parameters())


def test_accumulated_scales_add_up(make_task: Make, make_batch: Make) -> None:
    once, twice = make_task(graph=False), make_task(graph=False)
    for task, times in ((once, 1), (twice, 2)):
        engine = engine_of(task)
        for number in range(times):
            contrastive_step(task, engine, [make_batch(task, [0, 1, 2])], 1 / times, last=number == times - 1)
    for one, other in zip(once.parameters(), twice.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("poison", ["picture", "gradient", "loss"])
def test_a_step_that_is_no_number_leaves_no_trace(make_task: Make, make_batch: Make, poison: str) -> None:
    task = make_task()
    engine = engine_of(task)
    contrastive_step(task, engine, [make_batch(task, [0, 1, 2, 3])])
    engine.step()
    before, state, bank = weights(task), copy.deepcopy(engine.state_dict()), task.bank.embeds.clone()
    batch = make_batch(task, [2, 3, 4])
    if poison == "picture":
        batch["pixel_values"][1] = torch.nan
    contrastive_step(task, engine, [batch])
    if poison == "gradient":
        next(task.model.parameters()).grad.view(-1)[0] = torch.inf  # type: ignore[union-attr]
    if poison == "loss":
        engine.backward(task.model.logit_scale.sum().detach().requires_grad_() * torch.inf, True)
    assert engine.step().skipped
    task.bank.embeds.copy_(bank)
    assert same(weights(task), before)
    after = engine.state_dict()
    assert after["schedule"] == state["schedule"]
    for number, moments in state["optimizer"]["state"].items():
        assert same(moments, after["optimizer"]["state"][number])
    contrastive_step(task, engine, [make_batch(task, [0, 1, 2, 3])])
    assert not engine.step().skipped
    assert not same(weights(task), before)


def test_a_saved_state_goes_on_bit_for_bit(make_task: Make, make_batch: Make, tmp_path: Any) -> None:
    def steps(task: FashionKLIPTask, engine: LocalEngine, count: int) -> list[float]:
        rows = np.random.default_rng(count).permutation(6)[:4].tolist()
        losses = []
        for _ in range(count):
            losses.append(float(contrastive_step(task, engine, [make_batch(task, rows)])["loss"]))
            engine.step()
        return losses

    task = make_task()
    engine = engine_of(task)
    steps(task, engine, 2)
    torch.save((engine.weights(), engine.state_dict(), task.bank.state_dict()), tmp_path / "state")
    expected = steps(task, engine, 3)

    other = make_task()
    resumed = engine_of(other)
    saved, state, bank = torch.load(tmp_path / "state", weights_only=True)
    other.model.load_state_dict(saved)
    resumed.load_state_dict(state)
    other.bank.load_state_dict(bank)
    assert steps(other, resumed, 3) == expected
    assert same(weights(other), weights(task))


def test_another_engines_state_is_refused(make_task: Make) -> None:
    engine = engine_of(make_task())
    with pytest.raises(InputError, match="saved with DeepSpeed"):
        engine.load_state_dict({"engine": "deepspeed"})
    frozen = make_task()
    for parameter in list(frozen.model.parameters())[1:]:
        parameter.requires_grad_(False)
    with pytest.raises(InputError, match="other parts of the model frozen"):
        engine.load_state_dict(engine_of(frozen).state_dict())


def test_precision_of_autocast(make_task: Make, make_batch: Make) -> None:
    task = make_task()
    engine = engine_of(task, dtype=torch.bfloat16)
    with engine.autocast():
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16
    with engine_of(task).autocast():
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.float32
    contrastive_step(task, engine, [make_batch(task, [0, 1, 2])])
    assert not engine.step().skipped
