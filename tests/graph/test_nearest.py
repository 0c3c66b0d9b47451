"""The nearest pictures against a double loop; blocks and copies of one picture must not show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from easynlp_fashionklip.graph import nearest as module
from easynlp_fashionklip.graph.nearest import SPARE, Candidates, nearest


def _coarse(count: int, seed: int) -> torch.Tensor:
    """Vectors of quarters: sums are exact, ties frequent."""
    return torch.randint(-4, 5, (count, 6), generator=torch.Generator().manual_seed(seed)).float() / 4


def _csr(lists: list[list[int]]) -> Candidates:
    offsets = np.cumsum([0] + [len(one) for one in lists])
    return Candidates(offsets, np.array([row for one in lists for row in one], dtype=np.int32))


def _oracle(prompt: torch.Tensor, images: torch.Tensor, rows: list[int], count: int) -> list[tuple[float, int]]:
    scored = []
    for row in rows:
        product = 0.0
        for one, other in zip(prompt.tolist(), images[row].tolist(), strict=True):
            product += one * other
        scored.append((product, row))
    return sorted(scored, key=lambda one: (-one[0], one[1]))[:count]


LISTS = [[], [3], list(range(0, 90, 2)), list(range(4 + SPARE)), list(range(90)), list(range(5 + SPARE)), [89, 1, 7]]


def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONCEPTS_AT_ONCE", 3)
    monkeypatch.setattr(module, "IMAGES_AT_ONCE", 37)
    monkeypatch.setattr(module, "ELEMENTS_AT_ONCE", 50)
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 60)


def _gather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DENSE_SHARE", 1)


def _compare_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DENSE_SHARE", 10**9)


def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GROUP", 2)


@pytest.mark.parametrize("scope", ["mentions", "paper", "allowed"])
@pytest.mark.parametrize("blocks", [_small_blocks, _gather, _compare_with_all, _small_groups])
def test_like_the_double_loop(
    scope: str, blocks: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ties at the cut, concepts with fewer, as many and more candidates than a shortlist holds."""
    blocks(monkeypatch)
    prompts, images = _coarse(len(LISTS), 1), _coarse(90, 2)
    allowed = torch.arange(90) % 3 != 0
    lists = LISTS if scope == "mentions" else [list(range(90))] * len(LISTS)
    if scope == "allowed":
        lists = [[row for row in range(90) if allowed[row]]] * len(LISTS)
    among = _csr(lists) if scope == "mentions" else None
    similarity, image = nearest(prompts, images, among, 4, allowed if scope == "allowed" else None)
    for concept, rows in enumerate(lists):
        expected = _oracle(prompts[concept], images, rows, 4)
        found = list(zip(similarity[concept].tolist(), image[concept].tolist(), strict=True))
        assert found == expected + [(-np.inf, 0)] * (4 - len(expected))


@pytest.mark.parametrize("scope", ["mentions", "paper"])
@pytest.mark.parametrize("copies", [3 + SPARE, 500])
def test_copies_of_a_picture_in_other_blocks(scope: str, copies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More equal pictures than a shortlist holds, apart by rounding alone: the lowest rows, whatever the blocks."""
    rng = torch.Generator().manual_seed(0)
    images = normalize(torch.randn(2000, 64, generator=rng), dim=1)
    places = torch.randperm(2000, generator=rng)[:copies]
    images[places] = images[places[0]].clone()
    among = _csr([list(range(2000)), sorted(places.tolist())]) if scope == "mentions" else None
    prompts = images[places[:1]].repeat(2, 1)
    for size in (2000, 333, 64):
        monkeypatch.setattr(module, "IMAGES_AT_ONCE", size)
        found = nearest(prompts, images, among, 3)[1]
        assert found.tolist() == [sorted(places.tolist())[:3]] * 2


def test_blocks_do_not_show_in_a_single_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random vectors, whose products round differently in matrices of other shapes."""
    rng = torch.Generator().manual_seed(3)
    prompts = normalize(torch.randn(70, 129, generator=rng), dim=1)
    images = normalize(torch.randn(900, 129, generator=rng), dim=1)
    lists = [sorted(np.random.default_rng(i).choice(900, size=10 + 12 * i, replace=False).tolist()) for i in range(70)]
    for among in (None, _csr(lists)):
        whole = nearest(prompts, images, among, 20)
        for blocks in (_small_blocks, _gather, _compare_with_all):
            with monkeypatch.context() as patch:
                blocks(patch)
                other = nearest(prompts, images, among, 20)
            assert torch.equal(whole[0], other[0])
            assert torch.equal(whole[1], other[1])


def test_half_precision_pictures() -> None:
    """Those of an embedding bank count as their float32 values."""
    prompts, images = _coarse(3, 5), _coarse(50, 6)
    assert torch.equal(nearest(prompts, images.half(), None, 5)[1], nearest(prompts, images, None, 5)[1])
