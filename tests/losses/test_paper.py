"""Variant `paper`: the release's arithmetic, against its formula with torch's own class-weighted cross-entropy."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from easynlp_fashionklip.losses import ConceptBatch, ConceptVisualAlignmentLoss


def unit(rows: int, dim: int, generator: torch.Generator) -> Tensor:
    return F.normalize(torch.rand(rows, dim, generator=generator, dtype=torch.float64) - 0.1, dim=1)


def batch_of(slots: list[list[int]], own: list[list[int]], prototypes: Tensor) -> ConceptBatch:
    width = max(len(rows) for rows in own)
    size = len(own)
    return ConceptBatch(
        membership=torch.tensor([[u in row for u in range(size)] for row in slots]),
        related=torch.eye(size, dtype=torch.bool),
        prototype_embeds=prototypes,
        prototype_index=torch.tensor([rows + [0] * (width - len(rows)) for rows in own]),
        prototype_mask=torch.tensor([[k < len(rows) for k in range(width)] for rows in own]),
        slots=torch.tensor(slots),
    )


def oracle(images: Tensor, concepts: Tensor, batch: ConceptBatch, scale: Tensor, top_k: int) -> Tensor:
    """Slot by slot, rank by rank; a pair's prototypes and text are zero vectors where its slot is empty."""
    assert batch.slots is not None
    pairs, num_slots = batch.slots.shape
    target = torch.arange(pairs)
    zero = torch.zeros(images.shape[1], dtype=torch.float64)
    loss = torch.zeros((), dtype=torch.float64)
    for s in range(num_slots):
        texts, ranked = [], []
        for i in range(pairs):
            u = int(batch.slots[i, s])
            texts.append(concepts[u] if u >= 0 else zero)
            present = [bool(u >= 0 and m) for m in batch.prototype_mask[u]]
            pictures = [
                batch.prototype_embeds[q] if kept else zero
                for q, kept in zip(batch.prototype_index[u].tolist(), present, strict=True)
            ]
            ranked.append(sorted(pictures, key=lambda p: p.dot(images[i]).item(), reverse=True)[:top_k])
        similarity = torch.stack([torch.stack([p.dot(images[i]) for p in ranked[i]]) for i in range(pairs)]).detach()
        weights = similarity / similarity.norm(dim=0)
        for k in range(similarity.shape[1]):
            logits = scale * torch.stack([row[k] for row in ranked]) @ torch.stack(texts).T
            to_text = F.cross_entropy(logits, target, weight=weights[:, k])
            to_picture = F.cross_entropy(logits.T, target, weight=weights[:, k])
            loss = loss + weights[:, k].sum() / weights.sum() * (to_text + to_picture) / 2
    return loss / num_slots


OWN = [[0, 1, 2], [2, 3, 4], [5, 6, 0], [7, 8, 1], [4, 5, 6]]
SLOTS = {
    "full": [[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]],
    "same concept twice": [[0, 1], [0, 1], [2, 3], [2, 1], [4, 0]],
    "some empty": [[0, 1], [1, -1], [2, 3], [-1, -1], [4, -1]],
}


@pytest.mark.parametrize("name", SLOTS)
@pytest.mark.parametrize("top_k", [1, 2, 5])
@pytest.mark.parametrize("scale_shape", [(), (1,)])
def test_value_and_gradient_equal_the_release_formula(name: str, top_k: int, scale_shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(top_k)
    images, concepts = unit(5, 4, generator), unit(5, 4, generator).requires_grad_()
    batch = batch_of(SLOTS[name], OWN, unit(9, 4, generator))
    scale = torch.full(scale_shape, 7.0, dtype=torch.float64, requires_grad=True)
    loss = ConceptVisualAlignmentLoss("paper", top_k)(images, concepts, batch, scale)
    expected = oracle(images, concepts, batch, scale.squeeze(), top_k)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-10)
    inputs = (concepts, scale)
    for got, wanted in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True):
        assert torch.allclose(got, wanted, atol=1e-10)


def learning_case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    return unit(5, 4, generator), unit(5, 4, generator).requires_grad_(), unit(9, 4, generator), scale


def test_a_slot_empty_across_the_batch_makes_no_nan() -> None:
    """The release divides 0 by 0 there; here the slot counts 0 and the others stay what they are."""
    images, concepts, prototypes, scale = learning_case()
    loss = ConceptVisualAlignmentLoss("paper")
    one = batch_of([[0], [1], [2], [3], [-1]], OWN, prototypes)
    two = batch_of([[0, -1], [1, -1], [2, -1], [3, -1], [-1, -1]], OWN, prototypes)
    value = loss(images, concepts, two, scale)
    assert value.item() == pytest.approx(loss(images, concepts, one, scale).item() / 2, abs=1e-12)
    assert value.item() > 0
    assert all(g.isfinite().all() for g in torch.autograd.grad(value, (concepts, scale)))


def test_fewer_prototypes_than_k_across_the_batch_make_no_nan() -> None:
    """Rank 3 is then a zero vector for every pair, with weight 0: a class-weighted mean over it alone would be 0/0."""
    images, concepts, prototypes, scale = learning_case()
    images, prototypes = images.abs(), prototypes.abs()  # similarities above the 0 of a missing prototype
    slots = [[0], [1], [2], [3], [4]]
    loss = ConceptVisualAlignmentLoss("paper", 3)
    short = batch_of(slots, [rows[:2] for rows in OWN], prototypes)
    padded = replace(batch_of(slots, OWN, prototypes), prototype_mask=torch.tensor([[True, True, False]]).expand(5, 3))
    value = loss(images, concepts, padded, scale)
    assert value.item() == pytest.approx(loss(images, concepts, short, scale).item(), abs=1e-12)
    assert all(g.isfinite().all() for g in torch.autograd.grad(value, (concepts, scale)))


@pytest.mark.parametrize("missing", ["slots filled", "slots", "concepts", "prototypes"])
def test_nothing_to_compare_is_zero_with_zero_gradient(missing: str) -> None:
    images, concepts, prototypes, scale = learning_case()
    batch = batch_of(SLOTS["full"], OWN, prototypes)
    if missing == "slots filled":
        batch = replace(batch, slots=torch.full((5, 2), -1))
    elif missing == "slots":
        batch = replace(batch, slots=torch.zeros(5, 0, dtype=torch.int64))
    elif missing == "concepts":
        concepts = concepts.detach()[:0].requires_grad_()
    else:
        batch = replace(batch, prototype_embeds=prototypes[:0])
    loss = ConceptVisualAlignmentLoss("paper")(images, concepts, batch, scale)
    assert loss.item() == 0.0
    for gradient in torch.autograd.grad(loss, (concepts, scale)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_similarities_are_class_weights_in_variant_paper_only() -> None:
    """One prototype per concept has weight 1, wherever the picture is; `paper` weighs the pair by the picture."""
    images, concepts, prototypes, scale = learning_case()
    batch = batch_of([[0], [1], [2], [3], [4]], [rows[:1] for rows in OWN], prototypes)
    moved = images.clone()
    moved[0] = prototypes[0]
    values = {
        variant: [ConceptVisualAlignmentLoss(variant)(x, concepts, batch, scale).item() for x in (images, moved)]
        for variant in ("prototype", "paper")
    }
    assert values["prototype"][0] == values["prototype"][1]
    assert abs(values["paper"][0] - values["paper"][1]) > 1e-3


def test_pairs_naming_the_same_concept_are_negatives_in_variant_paper_only() -> None:
    images, concepts, prototypes, scale = learning_case()
    batch = batch_of([[0]] * 5, [[0]], prototypes[:1])
    args = (images, concepts[:1], batch, scale)
    assert ConceptVisualAlignmentLoss("prototype")(*args).item() == pytest.approx(0.0, abs=1e-12)
    assert ConceptVisualAlignmentLoss("paper")(*args).item() == pytest.approx(torch.tensor(5.0).log().item(), abs=1e-6)


def test_it_needs_slots() -> None:
    images, concepts, prototypes, scale = learning_case()
    batch = replace(batch_of([[0]], OWN, prototypes), slots=None)
    with pytest.raises(ValueError, match="needs ConceptBatch"):
        ConceptVisualAlignmentLoss("paper")(images[:1], concepts, batch, scale)
