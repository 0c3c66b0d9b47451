"""Prototype selection against a loop over concepts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from easynlp_fashionklip.graph import prototypes as module
from easynlp_fashionklip.graph.prototypes import image_ids_of, select_prototypes


def _embeds(count: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def _oracle(prompt: torch.Tensor, images: torch.Tensor, rows: list[int], top: int, k: int, weight: float) -> list[int]:
    nearest = sorted(rows, key=lambda row: (-float(images[row] @ prompt), row))[:top]
    chosen: list[int] = []
    while nearest and len(chosen) < k:

        def score(row: int) -> float:
            relevance = float(images[row] @ prompt)
            return (1 - weight) * relevance - weight * max(float(images[row] @ images[one]) for one in chosen)

        best = max(nearest, key=score) if chosen else nearest[0]
        chosen.append(best)
        nearest.remove(best)
    return chosen


@pytest.mark.parametrize("with_candidates", [True, False])
def test_like_the_loop(with_candidates: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks smaller than the data must not show; concepts with fewer candidates than asked keep them all."""
    monkeypatch.setattr(module, "_CONCEPTS_AT_ONCE", 3)
    monkeypatch.setattr(module, "_IMAGES_AT_ONCE", 7)
    prompts, images = _embeds(5, 1), _embeds(40, 2)
    lists = [list(range(0, 40, 3)), [4], [], list(range(40)), [39, 2, 17]] if with_candidates else [list(range(40))] * 5
    offsets = np.cumsum([0] + [len(one) for one in lists])
    csr = (offsets, np.array([row for one in lists for row in sorted(one)], dtype=np.int64))
    table = select_prototypes(prompts, images, csr if with_candidates else None, 6, 4, 0.7)
    for concept, rows in enumerate(lists):
        own = table.concept == concept
        expected = _oracle(prompts[concept], images, sorted(rows), 6, 4, 0.7)
        assert table.image[own].tolist() == expected
        assert table.rank[own].tolist() == list(range(len(expected)))
        assert np.allclose(table.similarity[own], [float(images[row] @ prompts[concept]) for row in expected])


def test_half_precision_numpy_is_accepted() -> None:
    """float16 embeddings as stored on disk give the choice of their float32 values."""
    prompts, images = _embeds(3, 3), _embeds(30, 4).half()
    from_half = select_prototypes(prompts.numpy(), images.numpy())
    assert from_half.image.tolist() == select_prototypes(prompts, images.float()).image.tolist()
    assert from_half.similarity.dtype == np.float32


def test_equal_pictures_go_to_the_lower_row() -> None:
    """A hundred copies of one picture: the first are taken, in order."""
    images = _embeds(1, 5).repeat(100, 1)
    table = select_prototypes(images[:1], images, None, 5, 3, 0.0)
    assert table.image.tolist() == [0, 1, 2]


def test_no_concepts_and_no_images() -> None:
    """Empty tables, no crash."""
    assert len(select_prototypes(torch.zeros(0, 8), _embeds(3, 1))) == 0
    assert len(select_prototypes(_embeds(3, 1), torch.zeros(0, 8))) == 0


def test_dimensions_must_agree() -> None:
    """Prompts and pictures come from one encoder."""
    with pytest.raises(ValueError, match="U x d"):
        select_prototypes(torch.zeros(2, 8), torch.zeros(2, 9))


def test_pictures_of_one_product_are_numbered() -> None:
    """The first keeps the product's name."""
    assert image_ids_of(["a", "b", "a", "a"]) == ["a", "b", "a#1", "a#2"]
