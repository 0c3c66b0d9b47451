"""A sum in tiles has the value and gradients of the sum at once; nothing of a tile outlives it."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from easynlp_fashionklip.losses import ConceptBatch, ConceptVisualAlignmentLoss
from easynlp_fashionklip.losses.itc import itc_loss
from easynlp_fashionklip.losses.tiles import MAX_ENTRIES, bounded, tiled_sum, tiles


def random(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def row_sum(rows: slice, queries: Tensor, items: Tensor, scale: Tensor) -> Tensor:
    return torch.logsumexp(scale * queries[rows] @ items.T, dim=1).sum()


@pytest.mark.parametrize("rows", [slice(0, 7), slice(2, 6), slice(3, 3)])
@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 100])
def test_value_and_gradient_equal_the_sum_at_once(rows: slice, chunk: int) -> None:
    inputs = random(7, 3, seed=0), random(5, 3, seed=1), random(1, seed=2)
    once, tiled = (tiled_sum(row_sum, rows, size, *inputs) for size in (0, chunk))
    assert tiled.item() == pytest.approx(once.item(), abs=1e-12)
    for got, wanted in zip(*(torch.autograd.grad(3 * value, inputs) for value in (tiled, once)), strict=True):
        assert torch.allclose(got, wanted, atol=1e-12)


def test_inputs_without_gradient() -> None:
    inputs = random(7, 3, seed=0), random(5, 3, seed=1).detach(), random(1, seed=2).detach()
    value = tiled_sum(row_sum, slice(0, 7), 3, *inputs)
    assert torch.allclose(
        *(torch.autograd.grad(one, inputs[0])[0] for one in (value, row_sum(slice(0, 7), *inputs))), atol=1e-12
    )
    assert not tiled_sum(row_sum, slice(0, 7), 3, *(one.detach() for one in inputs)).requires_grad
    with torch.no_grad():
        assert tiled_sum(row_sum, slice(0, 7), 3, *inputs).item() == pytest.approx(value.item(), abs=1e-12)


def test_no_more_than_a_tile_is_kept() -> None:
    """Rows of the logits that autograd keeps at a time: a tile's, and none after the forward pass."""
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal most
        if tensor.shape[-1] == 5 and tensor.shape != items.T.shape:
            alive.append(weakref.ref(tensor))
        most = max(most, sum(len(one) for one in (ref() for ref in alive) if one is not None))
        return tensor

    items = random(5, 3, seed=1)
    inputs = random(30, 3, seed=0), items, random(1, seed=2)
    kept = []
    for chunk in (0, 2):
        most = 0
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            value = tiled_sum(row_sum, slice(0, 30), chunk, *inputs)
        kept.append((most, sum(ref() is not None for ref in alive)))
        value.sum().backward()
        del value
    (everything, after), (tile, none) = kept
    assert everything >= 30
    assert after > 0
    assert 0 < tile <= 4
    assert none == 0


def test_tiles_cover_the_rows() -> None:
    assert list(tiles(slice(2, 9), 3)) == [slice(2, 5), slice(5, 8), slice(8, 9)]
    assert list(tiles(slice(2, 9), 0)) == [slice(2, 9)]
    assert list(tiles(slice(4, 4), 3)) == []


def test_a_tile_is_bounded_by_its_entries() -> None:
    assert bounded(5, 10) == 5
    assert bounded(0, 10) == MAX_ENTRIES // 10
    assert bounded(5000, MAX_ENTRIES // 3) == 3
    assert bounded(5, 2 * MAX_ENTRIES) == 1
    assert bounded(0, 0) == MAX_ENTRIES


class LargestFloat(TorchDispatchMode):
    """Notes the size of the largest floating-point tensor that any operation makes."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if isinstance(one, Tensor) and one.is_floating_point():
                self.largest = max(self.largest, one.numel())
        return result


PAIRS, CONCEPTS = 60, 80


def concepts_of_pairs() -> ConceptBatch:
    """Each pair names four concepts, each concept has two relatives and three prototypes."""
    membership = torch.zeros(PAIRS, CONCEPTS, dtype=torch.bool)
    pair = torch.arange(PAIRS)
    for step in range(4):
        membership[pair, (4 * pair + step * 7) % CONCEPTS] = True
    number = torch.arange(CONCEPTS)
    related = ((number[:, None] - number).abs() <= 1) & (number[:, None] // 3 == number // 3)
    index = (number[:, None] * 3 + torch.arange(3)) % 150
    prototypes = random(150, 4, seed=5).detach()
    return ConceptBatch(membership, related, prototypes, index, torch.ones_like(index, dtype=torch.bool))


@pytest.mark.parametrize("name", ["softmax", "sigmoid", "image", "prototype"])
def test_with_chunks_no_full_matrix_exists_forward_or_backward(name: str) -> None:
    largest = {}
    for chunk in (0, 6):
        images, texts, concepts = (random(rows, 4, seed=rows) for rows in (PAIRS, PAIRS, CONCEPTS))
        scale = random(1, seed=3)
        with LargestFloat() as seen:
            if name in ("softmax", "sigmoid"):
                loss = itc_loss(name, chunk).double()(images, texts, scale)  # type: ignore[arg-type]
            else:
                cva = ConceptVisualAlignmentLoss(name, chunk=chunk)  # type: ignore[arg-type]
                loss = cva(images, concepts, concepts_of_pairs(), scale)
            loss.backward()
        largest[chunk] = seen.largest
    assert largest[0] >= PAIRS * PAIRS
    assert largest[6] < PAIRS * PAIRS / 3
