"""Model, graph and losses together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from processes import on_processes

from easynlp_fashionklip import distributed
from easynlp_fashionklip.freezing import parse_freezing
from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.inference.encode import encode_texts
from easynlp_fashionklip.losses import ImageTextContrastiveLoss
from easynlp_fashionklip.models.concept_texts import enriched, mean_of_concepts
from easynlp_fashionklip.training.task import FashionKLIPTask

Make = Callable[..., Any]


def losses_of(task: FashionKLIPTask, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    return task.compute_loss(task(batch))


def test_without_a_graph_the_loss_is_itc(make_task: Make, make_batch: Make) -> None:
    task = make_task(graph=False)
    batch = make_batch(task, [0, 1, 3])
    losses = losses_of(task, batch)
    assert losses["cva_loss"] == 0.0
    assert losses["cva_weight"] == 0.0
    outputs = task(batch)
    expected = ImageTextContrastiveLoss()(
        outputs["image_embeds"],
        outputs["text_embeds"],
        task.model.logit_scale.exp(),
        batch["product_keys"],
        batch["text_keys"],
    )
    torch.testing.assert_close(losses["loss"], expected)


def test_losses_mix_by_the_weight_and_reach_every_tower(make_task: Make, make_batch: Make) -> None:
    task = make_task(cva_weight=0.25)
    losses = losses_of(task, make_batch(task, [0, 1, 3, 4]))
    torch.testing.assert_close(losses["loss"], 0.75 * losses["itc_loss"] + 0.25 * losses["cva_loss"])
    assert losses["cva_loss"] > 0
    losses["loss"].backward()
    without = [name for name, value in task.named_parameters() if value.requires_grad and value.grad is None]
    assert without == []


def test_a_batch_without_concepts_has_no_cva(make_task: Make, make_batch: Make) -> None:
    task = make_task()
    losses = losses_of(task, make_batch(task, [5]))
    assert losses["cva_loss"] == 0.0
    assert torch.isfinite(losses["loss"])
    losses["loss"].backward()


def test_each_concept_is_encoded_once(make_task: Make, make_batch: Make, graph: ConceptGraph) -> None:
    task = make_task(prompt_gradient=True)
    outputs = task(make_batch(task, [0, 2, 0, 2]))  # both mention "dress" and "red dress"
    concepts = outputs["global_batch"].concepts.tolist()
    assert concepts == sorted(set(concepts))
    assert outputs["concept_embeds"].shape == (len(concepts), 32)
    alone = task.model.encode_text(**task.model.processor.tokenize(graph.prompts(concepts)))
    torch.testing.assert_close(outputs["concept_embeds"], alone, atol=1e-5, rtol=0)


def test_the_batchs_pictures_enter_the_bank(make_task: Make, make_batch: Make) -> None:
    task = make_task()
    before = task.bank.embeds.clone()
    outputs = task(make_batch(task, [1, 4]))
    task.compute_loss(outputs)
    torch.testing.assert_close(task.bank.get(torch.tensor([1, 4])), outputs["image_embeds"].detach(), atol=1e-3, rtol=0)
    assert torch.equal(task.bank.embeds[[0, 2, 3, 5]], before[[0, 2, 3, 5]])


def test_pictures_whose_embedding_is_no_number_do_not(make_task: Make, make_batch: Make) -> None:
    task = make_task()
    before = task.bank.embeds.clone()
    batch = make_batch(task, [1, 4])
    batch["pixel_values"][0, 0, 0, 0] = torch.nan
    losses = task.compute_loss(task(batch))
    assert not losses["loss"].isfinite()
    assert torch.equal(task.bank.embeds[1], before[1])
    assert not torch.equal(task.bank.embeds[4], before[4])


def test_refresh_ranks_with_the_encoder_as_it_is_and_keeps_its_mode(make_task: Make) -> None:
    task = make_task()
    task.model.train()
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=noise))
    before = task.knowledge.selected.similarity.copy()
    task.refresh_prototypes()
    assert task.model.training
    chosen = task.knowledge.selected
    assert not np.allclose(chosen.similarity, before, atol=1e-3)
    prompts = task.encode_concepts(torch.arange(task.knowledge.num_concepts)).detach()
    cosines = (prompts[chosen.concept] * task.bank.get(torch.from_numpy(chosen.image))).sum(dim=1)
    np.testing.assert_allclose(chosen.similarity, cosines.numpy(), atol=2e-3)


def test_temperature_is_clamped(make_task: Make, make_batch: Make) -> None:
    task = make_task(graph=False)
    with torch.no_grad():
        task.model.logit_scale.fill_(10.0)
    assert losses_of(task, make_batch(task, [0, 1]))["logit_scale"] == 100.0


@pytest.mark.parametrize("start", [math.log(100) + 1e-6, 4.7])
def test_a_temperature_at_the_limit_can_come_back(start: float, make_task: Make, make_batch: Make) -> None:
    task = make_task(graph=False)
    with torch.no_grad():
        task.model.logit_scale.fill_(start)
    batch = make_batch(task, [0, 1])
    outputs = task(batch)
    mixed = {**outputs, "text_embeds": outputs["text_embeds"].flip(0)}  # wrong pairs: a softer softmax costs less
    task.compute_loss(mixed)["loss"].backward()
    assert task.model.logit_scale.grad is not None and float(task.model.logit_scale.grad) > 0


def test_a_frozen_text_tower_gives_the_same_losses_from_its_cache(make_task: Make, make_batch: Make) -> None:
    free, frozen = make_task(cva_weight=0.3), make_task(cva_weight=0.3)
    frozen.model.set_trainable_layers(text=0)
    if not frozen.model.text_tower_frozen:
        pytest.skip("this encoder's text tower cannot be frozen")
    frozen = FashionKLIPTask(frozen.model, frozen.config, 6)
    frozen.bank.embeds.copy_(free.bank.embeds)
    frozen.attach(free.knowledge)
    batch = make_batch(free, [0, 1, 3, 4])
    expected = losses_of(free, batch)
    for _ in range(2):  # the second time everything comes from the cache
        frozen.bank.embeds.copy_(free.bank.embeds)
        got = losses_of(frozen, batch)
        for name in ("loss", "itc_loss", "cva_loss"):
            torch.testing.assert_close(got[name], expected[name], atol=1e-4, rtol=0)


def test_a_frozen_image_tower_gives_the_same_losses_and_gradients_without_pixels(
    make_task: Make, make_batch: Make
) -> None:
    task = make_task(cva_weight=0.3)
    task.model.freeze(parse_freezing("both"))
    task = FashionKLIPTask(task.model, task.config, 6).train()
    task.attach(make_task().knowledge)
    batch = make_batch(task, [0, 1, 3, 4])
    whole = make_batch(task, list(range(6)))
    task.pictures.store(whole["rows"], task.model.image_tower_output(whole["pixel_values"]))
    found = []
    for pixels in (True, False):
        task.pictures.fill(task.bank)
        task.zero_grad(set_to_none=True)
        losses = losses_of(task, {name: value for name, value in batch.items() if pixels or name != "pixel_values"})
        losses["loss"].backward()
        grads = {name: value.grad.clone() for name, value in task.named_parameters() if value.grad is not None}
        found.append((losses, grads))
    (expected, gradients), (got, same) = found
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, atol=1e-5, rtol=0)
    heads = {f"model.backend.model.{name}_projection.weight" for name in ("visual", "text")}
    assert same.keys() == gradients.keys() == heads | {"model.logit_scale", "model.concepts.nodes"}
    for name, value in gradients.items():
        torch.testing.assert_close(same[name], value, atol=1e-5, rtol=1e-4)


def test_texts_are_compared_with_their_concepts(make_task: Make, make_batch: Make) -> None:
    task = make_task(cva_weight=0.0, concept_text_weight=0.5)
    with torch.no_grad():
        task.model.concepts.nodes.normal_(std=0.2)
    batch = make_batch(task, [0, 1, 3, 5])
    outputs = task(batch)
    whole = outputs["global_batch"]
    texts = []
    for row, text in enumerate(outputs["text_embeds"]):
        own = outputs["concept_embeds"][whole.knowledge.membership[row]]
        texts.append(text + 0.5 * own.mean(dim=0) if len(own) else text)
    expected = ImageTextContrastiveLoss()(
        outputs["image_embeds"],
        torch.nn.functional.normalize(torch.stack(texts), dim=-1),
        task.model.logit_scale.exp(),
        batch["product_keys"],
        batch["text_keys"],
    )
    torch.testing.assert_close(task.compute_loss(outputs)["itc_loss"], expected)


def test_served_texts_are_those_that_were_trained(make_task: Make, make_batch: Make, graph: ConceptGraph) -> None:
    """What `encode_texts` makes of the training texts, by matching, is what the loss compared."""
    task = make_task().eval()
    with torch.no_grad():
        task.model.concepts.nodes.normal_(std=0.2)
        outputs = task(make_batch(task, [0, 2, 4, 5]))
        task.update_concept_texts()
        mean = mean_of_concepts(outputs["concept_embeds"], outputs["global_batch"].knowledge.membership)
        compared = enriched(outputs["text_embeds"], mean, 1.0)
    task.model.concepts.vocabulary.__dict__["nlp"] = graph._pipeline()
    served = encode_texts(task.model, ["Red Dress", "Red Long Dress", "Blue Slim Jeans", "Lorem"])
    torch.testing.assert_close(torch.from_numpy(served), compared, atol=1e-5, rtol=0)


def test_without_their_weight_concepts_stay_out_of_texts(make_task: Make) -> None:
    assert make_task(concept_text_weight=0.0).model.concepts is None
    assert not make_task(node_learning_rate=0.0).model.concepts.nodes.requires_grad


def test_a_second_graph_goes_on_from_the_nodes_of_the_first(make_task: Make, make_knowledge: Make) -> None:
    task = make_task()
    with torch.no_grad():
        task.model.concepts.nodes.normal_()
    before = task.model.concepts.nodes.clone()
    task.attach(make_knowledge())
    torch.testing.assert_close(task.model.concepts.nodes, before)


def test_without_the_hierarchy_ancestors_are_negatives_and_share_nothing(
    make_task: Make, make_batch: Make, make_knowledge: Make
) -> None:
    task = make_task(hierarchy=False)
    task.attach(make_knowledge(hierarchy=False))
    whole = task(make_batch(task, [0, 1, 2]))["global_batch"]
    assert torch.equal(whole.knowledge.related, torch.eye(len(whole.concepts), dtype=torch.bool))
    task.encode_concepts(whole.concepts[-1:]).sum().backward()
    assert int((task.model.concepts.nodes.grad.abs().sum(dim=1) > 0).sum()) == 1


def test_duplicates_are_negatives_where_asked(make_task: Make, make_batch: Make) -> None:
    aware, unaware = make_task(graph=False), make_task(graph=False, duplicate_positives=False)
    losses = []
    for task in (aware, unaware):
        batch = make_batch(task, [0, 1, 4])
        batch["product_keys"][1] = batch["product_keys"][0]
        losses.append(losses_of(task, batch)["loss"])
    outputs = unaware(batch)
    expected = ImageTextContrastiveLoss()(
        outputs["image_embeds"], outputs["text_embeds"], unaware.model.logit_scale.exp()
    )
    torch.testing.assert_close(losses[1], expected)
    assert losses[0] != losses[1]


def _train_share(task: FashionKLIPTask, batches: list[dict[str, Any]]) -> tuple[dict[str, float], dict[str, Any]]:
    """This process's loss and gradient of its half of rows 0, 1, 3, 4."""
    model = torch.nn.parallel.DistributedDataParallel(task)
    losses = task.compute_loss(model(batches[distributed.rank()]))
    losses["loss"].backward()
    gradients = {name: value.grad.numpy() for name, value in task.named_parameters() if value.grad is not None}
    return {name: float(value.detach()) for name, value in losses.items()}, gradients


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("prompts", [True, False])
def test_two_processes_have_the_loss_and_gradient_of_one(make_task: Make, make_batch: Make, prompts: bool) -> None:
    task = make_task(prompt_gradient=prompts)
    saved = task.bank.embeds.clone()
    expected = losses_of(task, make_batch(task, [0, 1, 3, 4]))
    expected["loss"].backward()
    gradients = {name: value.grad.clone() for name, value in task.named_parameters() if value.grad is not None}
    task.zero_grad(set_to_none=True)
    task.bank.embeds.copy_(saved)
    for losses, grads in on_processes(2, _train_share, task, [make_batch(task, [0, 1]), make_batch(task, [3, 4])]):
        for name, value in losses.items():
            assert value == pytest.approx(float(expected[name].detach()), abs=1e-5), name
        assert grads.keys() == gradients.keys()
        for name, value in grads.items():
            np.testing.assert_allclose(value, gradients[name].numpy(), atol=1e-5, err_msg=name)
