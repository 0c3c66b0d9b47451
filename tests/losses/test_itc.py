"""ITC: value and gradient against a double loop, and cases with known answers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from easynlp_fashionklip.losses import ImageTextContrastiveLoss
from easynlp_fashionklip.losses.itc import SigmoidContrastiveLoss, positive_pairs
from easynlp_fashionklip.losses.itc import itc_loss as loss_named

CPU = torch.device("cpu")
itc_loss = ImageTextContrastiveLoss()


def unit(rows: int, dim: int, generator: torch.Generator) -> Tensor:
    return F.normalize(torch.randn(rows, dim, generator=generator, dtype=torch.float64), dim=1).requires_grad_()


def one_direction(queries: Tensor, items: Tensor, scale: Tensor, positives: list[list[int]]) -> Tensor:
    """The mean over queries of the mean over positives of -log softmax, entry by entry."""
    losses = []
    for i in range(len(queries)):
        total = torch.stack([(scale * queries[i].dot(items[j])).exp() for j in range(len(items))]).sum()
        nll = [total.log() - scale * queries[i].dot(items[j]) for j in positives[i]]
        losses.append(torch.stack(nll).mean())
    return torch.stack(losses).mean()


def oracle(
    images: Tensor, texts: Tensor, scale: Tensor, products: list[int] | None, captions: list[int] | None
) -> Tensor:
    size = len(images)
    positives: list[list[int]] = [[] for _ in range(size)]
    for i in range(size):
        for j in range(size):
            same_product = products is not None and products[i] == products[j]
            same_caption = captions is not None and captions[i] == captions[j]
            if i == j or same_product or same_caption:
                positives[i].append(j)
    return (one_direction(images, texts, scale, positives) + one_direction(texts, images, scale, positives)) / 2


KEYS = {
    "none": (None, None),
    "products": ([1, 2, 1, 3, 1, 4, 2], None),
    "texts": (None, [9, 9, 8, 7, 6, 5, 4]),
    # 0-1 share a product, 1-2 a text: 0 and 2 share neither and stay negatives
    "both": ([1, 1, 2, 3, 4, 5, 3], [9, 8, 8, 7, -6, 5, -6]),
    "all one": ([5] * 7, [3] * 7),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("scale_shape", [(), (1,)])
def test_value_and_gradient_equal_the_double_loop(name: str, scale_shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(len(name))
    images, texts = unit(7, 5, generator), unit(7, 5, generator)
    scale = torch.full(scale_shape, 6.5, dtype=torch.float64, requires_grad=True)
    products, captions = KEYS[name]
    tensors = [None if keys is None else torch.tensor(keys) for keys in (products, captions)]
    loss = itc_loss(images, texts, scale, *tensors)
    expected = oracle(images, texts, scale.squeeze(), products, captions)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-10)
    inputs = (images, texts, scale)
    for got, wanted in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True):
        assert torch.allclose(got, wanted, atol=1e-10)


LOSSES = {"softmax": ImageTextContrastiveLoss, "sigmoid": SigmoidContrastiveLoss}


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 50])
def test_in_tiles_with_an_uneven_last_one(kind: str, chunk: int) -> None:
    generator = torch.Generator().manual_seed(chunk)
    inputs = unit(7, 5, generator), unit(7, 5, generator), torch.full((1,), 6.5, requires_grad=True).double()
    keys = [torch.tensor(one) for one in KEYS["both"]]
    whole, tiled = (LOSSES[kind](size)(*inputs, *keys) for size in (0, chunk))
    assert tiled.item() == pytest.approx(whole.item(), abs=1e-12)
    for got, wanted in zip(*(torch.autograd.grad(one, inputs) for one in (tiled, whole)), strict=True):
        assert torch.allclose(got, wanted, atol=1e-12)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("chunk", [0, 2])
def test_parts_of_the_rows_add_up(kind: str, chunk: int) -> None:
    generator = torch.Generator().manual_seed(1)
    images, texts, scale = unit(7, 5, generator), unit(7, 5, generator), torch.tensor([6.5], dtype=torch.float64)
    keys = [torch.tensor(one) for one in KEYS["both"]]
    loss = LOSSES[kind](chunk)
    parts = [loss(images, texts, scale, *keys, rows) for rows in (slice(0, 3), slice(3, 4), slice(4, 7))]
    assert torch.stack(parts).sum().item() == pytest.approx(loss(images, texts, scale, *keys).item(), abs=1e-12)


@pytest.mark.parametrize("name", KEYS)
def test_sigmoid_value_and_gradient_equal_the_double_loop(name: str) -> None:
    generator = torch.Generator().manual_seed(len(name))
    images, texts = unit(7, 5, generator), unit(7, 5, generator)
    scale = torch.tensor([6.5], dtype=torch.float64, requires_grad=True)
    products, captions = KEYS[name]
    loss = SigmoidContrastiveLoss().double()
    with torch.no_grad():
        loss.bias.fill_(-2.5)
    value = loss(images, texts, scale, *(None if keys is None else torch.tensor(keys) for keys in KEYS[name]))
    expected = torch.zeros((), dtype=torch.float64)
    for i in range(7):
        for j in range(7):
            same = i == j or any(keys is not None and keys[i] == keys[j] for keys in (products, captions))
            logit = scale[0] * images[i].dot(texts[j]) + loss.bias[0]
            expected = expected + torch.log1p(torch.exp(-logit if same else logit)) / 7
    assert value.item() == pytest.approx(expected.item(), abs=1e-10)
    inputs = (images, texts, scale, loss.bias)
    for got, wanted in zip(torch.autograd.grad(value, inputs), torch.autograd.grad(expected, inputs), strict=True):
        assert torch.allclose(got, wanted, atol=1e-10)


def test_sigmoid_of_a_batch_of_one_and_of_duplicates() -> None:
    """One pair at its best costs log(1 + exp(-(s + b))); two of one product cost four times that over two pairs."""
    one, scale = torch.tensor([[1.0, 0.0]]), torch.tensor([12.0])
    loss = SigmoidContrastiveLoss()
    best = math.log1p(math.exp(-2.0))
    assert loss(one, one, scale).item() == pytest.approx(best, abs=1e-6)
    two = one.repeat(2, 1)
    assert loss(two, two, scale, torch.tensor([7, 7])).item() == pytest.approx(2 * best, abs=1e-6)


def test_a_checkpoints_bias_is_shared() -> None:
    bias = torch.nn.Parameter(torch.tensor([-3.0]))
    loss = loss_named("sigmoid", bias=bias)
    assert loss.bias is bias
    one, scale = torch.tensor([[1.0, 0.0]]), torch.tensor([5.0])
    assert loss(one, one, scale).item() == pytest.approx(math.log1p(math.exp(-2.0)), abs=1e-6)
    assert list(loss_named("softmax", bias=bias).parameters()) == []


def test_a_setting_names_the_loss() -> None:
    assert type(loss_named("softmax", 3)) is ImageTextContrastiveLoss
    assert type(loss_named("sigmoid")) is SigmoidContrastiveLoss
    assert loss_named("softmax", 3).chunk == 3
    with pytest.raises(ValueError, match="'triplet'"):
        loss_named("triplet")  # type: ignore[arg-type]


def test_without_duplicates_it_is_clips_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    images, texts = unit(6, 4, generator), unit(6, 4, generator)
    logits = 14.0 * images @ texts.T
    clip = (F.cross_entropy(logits, torch.arange(6)) + F.cross_entropy(logits.T, torch.arange(6))) / 2
    distinct = torch.arange(6)
    scale = torch.tensor(14.0, dtype=torch.float64)
    assert itc_loss(images, texts, scale, distinct, distinct + 100).item() == pytest.approx(clip.item(), abs=1e-12)


def test_orthogonal_pairs_have_a_known_loss() -> None:
    basis = torch.eye(4, dtype=torch.float64)
    loss = itc_loss(basis, basis, torch.tensor(2.0, dtype=torch.float64))
    assert loss.item() == pytest.approx(math.log(1 + 3 * math.exp(-2)), abs=1e-12)


def test_a_batch_of_one_and_a_batch_of_duplicates_at_their_best() -> None:
    one = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    scale = torch.tensor(10.0, dtype=torch.float64)
    assert itc_loss(one, one, scale).item() == 0.0
    # Two pairs of one product with equal embeddings: both texts are right, so an even softmax has the entropy log 2
    # and no gradient; as negatives they would push each other away.
    pair = one.repeat(2, 1).requires_grad_()
    loss = itc_loss(pair, one.repeat(2, 1), scale, torch.tensor([7, 7]))
    (gradient,) = torch.autograd.grad(loss, pair)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-12)
    assert gradient.abs().max().item() < 1e-12


def test_positive_pairs_are_symmetric_and_keep_the_diagonal() -> None:
    positives = positive_pairs(torch.tensor([1, 2, 1]), torch.tensor([5, 6, 6]), 3, CPU)
    assert positives.tolist() == [[True, False, True], [False, True, True], [True, True, True]]
    assert torch.equal(positive_pairs(None, None, 2, CPU), torch.eye(2, dtype=torch.bool))
    some = positive_pairs(torch.tensor([1, 2, 1]), torch.tensor([5, 6, 6]), 3, CPU, slice(1, 3))
    assert torch.equal(some, positives[1:3])
