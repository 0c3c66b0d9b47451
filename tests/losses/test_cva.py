"""CVA: value and gradient against double loops, and cases with known answers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from cva_examples import Example, example, gradients, image_oracle, oracle

from easynlp_fashionklip.config import CvaVariant
from easynlp_fashionklip.losses import ConceptVisualAlignmentLoss
from easynlp_fashionklip.losses.cva import (
    concept_to_image_nll,
    concept_to_prototype_nll,
    image_to_concept_nll,
    prototype_to_concept_nll,
    prototype_weights,
)

LEARNED: tuple[CvaVariant, ...] = ("prototype", "image", "both")


@pytest.mark.parametrize("variant", LEARNED)
@pytest.mark.parametrize("top_k", [1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_value_and_gradient_equal_the_double_loop(variant: CvaVariant, top_k: int, seed: int) -> None:
    case = example(seed)
    scale = torch.full((1,) if seed % 2 else (), 3.0 + 9 * seed, dtype=torch.float64, requires_grad=True)
    loss = ConceptVisualAlignmentLoss(variant, top_k)(case.images, case.concepts, case.tensors(), scale)
    expected = oracle(case, scale.squeeze(), variant, top_k)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-10)
    inputs = (case.images, case.concepts, scale)
    for got, wanted in zip(gradients(loss, *inputs), gradients(expected, *inputs), strict=True):
        assert torch.allclose(got, wanted, atol=1e-10)


@pytest.mark.parametrize("variant", (*LEARNED, "paper"))
@pytest.mark.parametrize("chunk", [1, 2, 4, 5])
@pytest.mark.parametrize("seed", range(2))
def test_in_tiles_with_an_uneven_last_one(variant: CvaVariant, chunk: int, seed: int) -> None:
    case = example(seed)
    batch = replace(case.tensors(), slots=torch.tensor([[*named[:2], -1, -1][:2] for named in case.named]))
    scale = torch.tensor([9.0], dtype=torch.float64, requires_grad=True)
    inputs = (case.images, case.concepts, scale)
    whole, tiled = (
        ConceptVisualAlignmentLoss(variant, 2, size)(case.images, case.concepts, batch, scale) for size in (0, chunk)
    )
    assert tiled.item() == pytest.approx(whole.item(), abs=1e-12)
    for got, wanted in zip(gradients(tiled, *inputs), gradients(whole, *inputs), strict=True):
        assert torch.allclose(got, wanted, atol=1e-12)


@pytest.mark.parametrize("variant", (*LEARNED, "paper"))
@pytest.mark.parametrize("chunk", [0, 2])
def test_parts_of_pairs_and_concepts_add_up(variant: CvaVariant, chunk: int) -> None:
    """Uneven ones, and one (the pair without concepts, and no concept) that contributes nothing but takes part."""
    case = example(3)
    batch = replace(case.tensors(), slots=torch.tensor([[*named[:2], -1, -1][:2] for named in case.named]))
    scale = torch.tensor([9.0], dtype=torch.float64, requires_grad=True)
    inputs = (case.images, case.concepts, scale)
    loss = ConceptVisualAlignmentLoss(variant, 2, chunk)
    shares = ((slice(0, 1), slice(0, 4)), (slice(1, 2), slice(4, 4)), (slice(2, 8), slice(4, 6)))
    parts = [loss(case.images, case.concepts, batch, scale, *share) for share in shares]
    assert all(part.requires_grad for part in parts)
    assert parts[1].item() == 0.0 or variant == "paper"
    whole = loss(case.images, case.concepts, batch, scale)
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), abs=1e-12)
    summed = [sum(one) for one in zip(*(gradients(part, *inputs) for part in parts), strict=True)]
    for got, wanted in zip(summed, gradients(whole, *inputs), strict=True):
        assert torch.allclose(got, wanted, atol=1e-12)


def orthogonal(relatives: set[tuple[int, int]]) -> Example:
    """Two pairs, two concepts, two prototypes: everything of number i is the basis vector i."""
    basis = torch.eye(2, dtype=torch.float64)
    return Example(basis.clone(), basis.clone(), basis, [[0], [1]], relatives, [[0], [1]])


@pytest.mark.parametrize("variant", LEARNED)
def test_two_unrelated_concepts_at_right_angles_have_a_known_loss(variant: CvaVariant) -> None:
    case = orthogonal(set())
    scale = torch.tensor(2.0, dtype=torch.float64)
    loss = ConceptVisualAlignmentLoss(variant)(case.images, case.concepts, case.tensors(), scale)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-2)), abs=1e-12)


@pytest.mark.parametrize("variant", LEARNED)
def test_two_related_concepts_have_nothing_to_tell_apart(variant: CvaVariant) -> None:
    case = orthogonal({(0, 1)})
    concepts = case.concepts.requires_grad_()
    loss = ConceptVisualAlignmentLoss(variant)(case.images, concepts, case.tensors(), torch.tensor(2.0).double())
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert gradients(loss, concepts)[0].abs().max().item() < 1e-12


@pytest.mark.parametrize("variant", LEARNED)
def test_an_ancestor_is_never_a_negative(variant: CvaVariant) -> None:
    """Concept 1 (t-shirt, an ancestor of 0) is in the batch, but no text names it: its embedding must not matter."""
    case = replace(example(1), named=[[0], [2], [5], [0, 2]])
    case.images = case.images.detach()[:4]
    loss = ConceptVisualAlignmentLoss(variant)
    scale = torch.tensor(8.0, dtype=torch.float64)
    without_negatives_of_2_and_5 = replace(case, relatives=case.relatives | {(1, 2), (1, 5)})
    before = loss(case.images, case.concepts, without_negatives_of_2_and_5.tensors(), scale)
    changed = case.concepts.detach().clone()
    changed[1] = case.images[0]  # as near to picture 0 as can be
    after = loss(case.images, changed, without_negatives_of_2_and_5.tensors(), scale)
    assert after.item() == pytest.approx(before.item(), abs=1e-12)
    # an unrelated concept in its place does matter
    unrelated = replace(case, relatives=set())
    values = [loss(case.images, x, unrelated.tensors(), scale).item() for x in (case.concepts, changed)]
    assert abs(values[0] - values[1]) > 1e-3


def test_an_ancestors_prototypes_are_never_negatives() -> None:
    """Concept 0 must not see prototype 3, which stands for 1 and 3, relatives of 0, alone."""
    case = example(1)
    scale = torch.tensor(8.0, dtype=torch.float64)
    prototypes = case.prototypes.clone().requires_grad_()
    batch = replace(case.tensors(), prototype_embeds=prototypes)
    loss = concept_to_prototype_nll(case.concepts, batch, torch.tensor([0]), scale).sum()
    gradient = gradients(loss, prototypes)[0].abs().sum(dim=1)
    assert gradient[3].item() == 0.0
    assert (gradient[[0, 2, 5, 1, 8]] > 0).all()  # its own, and those of unrelated concepts


def test_an_ancestors_text_is_no_negative_of_a_prototype() -> None:
    """Prototype 5, concept 0's last, must not see concepts 1 and 3, relatives of 0; its row for concept 2 does."""
    case = example(1)
    scale = torch.tensor(8.0, dtype=torch.float64)
    for concept, slot, unseen in ((0, 2, [1, 3]), (2, 0, [])):
        args = (torch.tensor([concept]), torch.tensor([slot]), scale)
        loss = prototype_to_concept_nll(case.concepts, case.tensors(), *args).sum()
        seen = gradients(loss, case.concepts)[0].abs().sum(dim=1) > 0
        assert seen.tolist() == [u not in unseen for u in range(6)]


def test_a_picture_of_a_relative_is_neither_right_nor_wrong() -> None:
    """`image`: (0, u=0) must not see pictures 4 and 7, which show only relatives of 0; nor concepts 1, 2 and 3."""
    case = example(3)
    assert case.named[4] == [3, 4]
    assert case.named[7] == [1, 3, 5]
    scale = torch.tensor(8.0, dtype=torch.float64)
    loss = image_to_concept_nll(case.images, case.concepts, case.tensors(), torch.tensor([[0, 0]]), scale).sum()
    loss = loss + concept_to_image_nll(case.images, case.concepts, case.tensors(), torch.tensor([0]), scale).sum()
    by_picture, by_concept = (g.abs().sum(dim=1) for g in gradients(loss, case.images, case.concepts))
    assert (by_picture[[4, 7]] == 0).all()
    assert (by_picture[[0, 1, 2, 3, 5, 6]] > 0).all()
    assert (by_concept[[1, 2, 3]] == 0).all()  # 2 is named by text 0 as well: true of picture 0
    assert (by_concept[[0, 4, 5]] > 0).all()


@pytest.mark.parametrize("variant", LEARNED)
@pytest.mark.parametrize("known", [0, 6])
def test_a_batch_without_concepts_is_zero_with_zero_gradient(variant: CvaVariant, known: int) -> None:
    """Both when no concept is in the batch at all and when none is named."""
    case = example(0)
    empty = Example(
        case.images, case.concepts[:known], case.prototypes, [[] for _ in case.named], set(), case.own[:known]
    )
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    loss = ConceptVisualAlignmentLoss(variant)(empty.images, empty.concepts, empty.tensors(), scale)
    assert loss.item() == 0.0
    assert loss.requires_grad  # so that `backward` works on every process
    for gradient in gradients(loss, case.images, case.concepts, scale):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("width", [0, 3])
def test_a_batch_without_any_prototype_is_zero(width: int) -> None:
    """As before the first refresh: Q = 0, whatever the masked index holds."""
    case = example(0)
    batch = replace(
        case.tensors(),
        prototype_embeds=torch.zeros(0, 4, dtype=torch.float64),
        prototype_index=torch.zeros(6, width, dtype=torch.int64),
        prototype_mask=torch.zeros(6, width, dtype=torch.bool),
    )
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    loss = ConceptVisualAlignmentLoss("prototype")(case.images, case.concepts, batch, scale)
    assert loss.item() == 0.0
    for gradient in gradients(loss, case.images, case.concepts, scale):
        assert torch.equal(gradient, torch.zeros_like(gradient))
    both = ConceptVisualAlignmentLoss("both")(case.images, case.concepts, batch, scale)
    assert both.item() == pytest.approx(image_oracle(case, scale).item() / 2, abs=1e-10)


def test_a_pair_without_concepts_contributes_nothing() -> None:
    case = example(0)
    scale = torch.tensor(5.0, dtype=torch.float64)
    loss = ConceptVisualAlignmentLoss("prototype")
    more = replace(case, images=torch.cat([case.images, case.images[:2]]), named=[*case.named, [], []])
    assert loss(more.images, more.concepts, more.tensors(), scale).item() == pytest.approx(
        loss(case.images, case.concepts, case.tensors(), scale).item(), abs=1e-12
    )


def test_missing_concepts_are_masked_not_zero_vectors() -> None:
    """Naming a concept without prototypes adds no element: the mean is over the others."""
    case = example(0)
    scale = torch.tensor(5.0, dtype=torch.float64)
    loss = ConceptVisualAlignmentLoss("prototype")
    without = replace(case, named=[[u for u in named if u != 4] for named in case.named])
    assert without.named != case.named
    assert loss(case.images, case.concepts, case.tensors(), scale).item() == pytest.approx(
        loss(case.images, case.concepts, without.tensors(), scale).item(), abs=1e-12
    )


def test_fewer_prototypes_than_k() -> None:
    case = example(2)
    scale = torch.tensor(5.0, dtype=torch.float64)
    values = [
        ConceptVisualAlignmentLoss("prototype", k)(case.images, case.concepts, case.tensors(), scale).item()
        for k in (4, 50)
    ]
    assert values[0] == values[1]


def test_prototype_weights_are_a_softmax_over_the_nearest_k() -> None:
    """Similarities 0.6, 0.8, 0 of picture 0 to prototypes 0, 1, 2 of concept 0; concept 1 has none."""
    images = torch.tensor([[0.6, 0.8, 0.0]], dtype=torch.float64)
    case = Example(
        images, torch.zeros(2, 3, dtype=torch.float64), torch.eye(3).double(), [[0, 1]], set(), [[0, 1, 2], []]
    )
    elements, scale = torch.tensor([[0, 0], [0, 1]]), torch.tensor(10.0, dtype=torch.float64)
    weights = prototype_weights(images, case.tensors(), elements, scale, 2)
    near, far = 1 / (1 + math.exp(-2)), math.exp(-2) / (1 + math.exp(-2))
    expected = torch.tensor([[far, near, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(weights, expected, atol=1e-12)


def test_variant_prototype_teaches_the_text_encoder_alone_and_variant_image_both() -> None:
    """In the release CVA reaches only the text encoder; variant `image` is there for the image encoder to learn too."""
    case = example(3)
    scale = torch.tensor(5.0, dtype=torch.float64)
    for variant, reaches_images in (("prototype", False), ("image", True), ("both", True)):
        loss = ConceptVisualAlignmentLoss(variant)(case.images, case.concepts, case.tensors(), scale)  # type: ignore[arg-type]
        images, concepts = gradients(loss, case.images, case.concepts)
        assert bool((images != 0).any()) is reaches_images
        assert (concepts != 0).any()


def test_single_precision_at_the_largest_scale_is_finite_and_near() -> None:
    case = example(3)
    scale = torch.tensor(100.0, dtype=torch.float64)
    expected = oracle(case, scale, "both", 5)
    batch = replace(case.tensors(), prototype_embeds=case.prototypes.float())
    loss = ConceptVisualAlignmentLoss("both")(case.images.float(), case.concepts.float(), batch, scale.float())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("variant", "top_k"), [("images", 5), ("prototype", 0)])
def test_a_wrong_setting_is_refused(variant: str, top_k: int) -> None:
    with pytest.raises(ValueError, match=f"variant='{variant}'.*top_k={top_k}"):
        ConceptVisualAlignmentLoss(variant, top_k)  # type: ignore[arg-type]
