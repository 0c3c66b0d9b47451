"""Without `prompt_gradient` the text tower sees the prompts once a refresh, and learns from the captions alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from easynlp_fashionklip.app import resume
from easynlp_fashionklip.freezing import parse_freezing
from easynlp_fashionklip.training.frozen_tower import KeptTexts
from easynlp_fashionklip.training.task import FashionKLIPTask

Make = Callable[..., Any]
ALL = torch.arange(5)


def tower(task: FashionKLIPTask) -> Iterator[torch.nn.Parameter]:
    return task.model.backend.text_tower.parameters()


def encoded_anew(task: FashionKLIPTask) -> torch.Tensor:
    return task._encoder_of_now()(ALL).detach()


def move(task: FashionKLIPTask, head: bool = False) -> None:
    """Another text tower, or head, as training would make it."""
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in [task.model.backend.model.text_projection.weight] if head else tower(task):
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=noise))


def test_at_a_refresh_concepts_are_those_of_the_encoder(make_task: Make) -> None:
    kept, usual = make_task(), make_task(prompt_gradient=True)
    assert usual.kept_prompts is None
    torch.testing.assert_close(kept.encode_concepts(ALL), usual.encode_concepts(ALL), atol=1e-5, rtol=0)


def test_the_tower_learns_from_captions_alone(make_task: Make, make_batch: Make) -> None:
    task = make_task()
    outputs = task(make_batch(task, [0, 1, 3]))
    outputs["concept_embeds"][:, 0].sum().backward()
    assert all(parameter.grad is None for parameter in tower(task))
    assert task.model.backend.model.text_projection.weight.grad.abs().sum() > 0
    assert task.model.concepts.nodes.grad.abs().sum() > 0
    task.compute_loss(task(make_batch(task, [0, 1, 3])))["loss"].backward()
    assert all(parameter.grad is not None for parameter in tower(task))


def test_until_the_next_refresh_only_the_head_moves_them(make_task: Make) -> None:
    task = make_task()
    before = task.encode_concepts(ALL).detach()
    move(task)
    assert torch.equal(task.encode_concepts(ALL), before)
    anew = encoded_anew(task)
    assert (anew - before).abs().max() > 0.01
    task.refresh_prototypes()
    torch.testing.assert_close(task.encode_concepts(ALL), anew, atol=1e-5, rtol=0)
    move(task, head=True)
    assert (task.encode_concepts(ALL) - anew).abs().max() > 0.01


def test_a_model_is_evaluated_and_saved_with_its_tower_as_it_is(make_task: Make) -> None:
    task = make_task().eval()
    move(task)
    task.update_concept_texts()
    torch.testing.assert_close(task.model.concepts.vectors[ALL], encoded_anew(task))
    assert (task.model.concepts.vectors[ALL] - task.encode_concepts(ALL).detach()).abs().max() > 0.01


def test_what_is_kept_can_be_put_back(make_task: Make) -> None:
    task, other = make_task(), make_task()
    move(other)
    other.refresh_prototypes()
    task.prompts.replace(other.kept_prompts)
    assert torch.equal(task.encode_concepts(ALL), other.encode_concepts(ALL))


def test_a_frozen_tower_has_nothing_to_keep(make_task: Make) -> None:
    frozen = make_task()
    frozen.model.freeze(parse_freezing("text"))
    task = FashionKLIPTask(frozen.model, frozen.config, 6)
    task.attach(frozen.knowledge)
    task.refresh_prototypes()
    assert task.kept_prompts is None
    torch.testing.assert_close(task.encode_concepts(ALL), frozen.encode_concepts(ALL), atol=1e-5, rtol=0)


@pytest.mark.parametrize("settings", [{"concept_text_weight": 0.0}, {}], ids=["plain", "in texts"])
def test_losses_are_those_of_encoding_each_step(make_task: Make, make_batch: Make, settings: dict[str, Any]) -> None:
    """While the tower has not changed."""
    kept, usual = make_task(**settings), make_task(prompt_gradient=True, **settings)
    batch = make_batch(kept, [0, 1, 3, 4])
    got, expected = (task.compute_loss(task(batch)) for task in (kept, usual))
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, atol=1e-4, rtol=1e-4)


def test_a_refresh_counts_the_encoding_of_prompts(make_task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task()
    encode = task.model.prompt_tower_output

    def slow(**tokens: torch.Tensor) -> torch.Tensor:
        time.sleep(0.05)
        return encode(**tokens)

    monkeypatch.setattr(task.model, "prompt_tower_output", slow)
    assert task.refresh_prototypes().seconds >= 0.05


def test_a_point_without_prompts_has_them_encoded_anew(
    make_task: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, engine = make_task(), SimpleNamespace(whole=nullcontext, autocast=nullcontext)
    expected = task.kept_prompts
    task.prompts = KeptTexts(task.model, 0)
    resume._restore_prompts(task, engine, None)
    torch.testing.assert_close(task.kept_prompts, expected)
    assert "prompts are encoded anew" in caplog.text
    caplog.clear()
    resume._restore_prompts(task, engine, expected + 1)
    assert torch.equal(task.kept_prompts, expected + 1) and not caplog.text
    usual = make_task(prompt_gradient=True)
    resume._restore_prompts(usual, engine, expected)
    assert usual.kept_prompts is None


@pytest.mark.parametrize(
    ("settings", "kept"), [({}, True), ({"gradient_checkpointing": True}, False), ({"deepspeed_config": "x"}, False)]
)
@pytest.mark.usefixtures("on_the_cpu")
def test_states_below_layers_that_train_are_kept_and_change_nothing(
    make_task: Make, make_batch: Make, settings: dict[str, Any], kept: bool
) -> None:
    usual = make_task(**settings)
    usual.model.set_trainable_layers(text=1)
    task = FashionKLIPTask(usual.model, usual.config, 6)
    task.attach(usual.knowledge)
    assert task.captions.states == kept
    usual.captions.keep_nothing()
    found = []
    for one in (usual, task, task):  # the second time from what is kept
        one.prompts.replace(usual.kept_prompts)
        one.bank.embeds.copy_(usual.bank.embeds)
        one.zero_grad(set_to_none=True)
        one.compute_loss(one(make_batch(one, [0, 1, 3, 4])))["loss"].backward()
        found.append({name: p.grad.clone() for name, p in one.named_parameters() if p.grad is not None})
    for gradients in found[1:]:
        assert gradients.keys() == found[0].keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, found[0][name], atol=1e-5, rtol=1e-3)


def test_prompts_are_encoded_once_for_an_evaluation_and_the_refresh_after_it(
    make_task: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    encode, sizes = task.model.prompt_tower_output, []

    def spy(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        sizes.append(len(input_ids))
        return encode(input_ids, attention_mask)

    monkeypatch.setattr(task.model, "prompt_tower_output", spy)
    for refreshed in (False, True):
        move(task)
        task.update_concept_texts()
        count = sum(sizes)
        assert count > 0
        if refreshed:
            task.refresh_prototypes()
        assert sum(sizes) == count
        torch.testing.assert_close(task.model.concepts.vectors[ALL], encoded_anew(task))
        sizes.clear()
    with torch.autocast("cpu", torch.bfloat16):
        move(task)
        task.refresh_prototypes()
    kept = task.kept_prompts
    task.refresh_prototypes()
    assert torch.equal(task.kept_prompts, kept)  # in full precision both times
