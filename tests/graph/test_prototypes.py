"""Prototype selection against a loop over concepts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from easynlp_fashionklip.graph import nearest as module
from easynlp_fashionklip.graph.prototypes import duplicate_threshold, image_ids_of, select_prototypes


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
    monkeypatch.setattr(module, "CONCEPTS_AT_ONCE", 3)
    monkeypatch.setattr(module, "IMAGES_AT_ONCE", 7)
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
    table = select_prototypes(images[:1], images, None, 5, 3, 0.0, duplicate_similarity=1.0)
    assert table.image.tolist() == [0, 1, 2]


@pytest.mark.parametrize("with_candidates", [True, False])
def test_near_duplicates_are_not_both_chosen(with_candidates: bool) -> None:
    """Rows 1 and 3 look like 0 and 2 but for a little; with the threshold above their similarity they stay."""
    images = normalize(torch.tensor([[1, 0.2, 0], [1, 0.21, 0], [1, -0.2, 0], [1, -0.2, 0.01], [1, 0, 0.5]]), dim=1)
    prompt = torch.tensor([[1.0, 0, 0]])
    candidates = (np.array([0, 5]), np.arange(5)) if with_candidates else None
    table = select_prototypes(prompt, images, candidates, 5, 5, 0.0, duplicate_similarity=0.99)
    assert table.image.tolist() == [0, 2, 4]
    assert select_prototypes(prompt, images, candidates, 5, 5, 0.0, duplicate_similarity=1.0).image.tolist() == [
        0, 2, 3, 1, 4
    ]  # fmt: skip


def test_a_narrow_cone_is_not_one_picture() -> None:
    """Pictures that differ by little from a common direction are told apart as they would be without it."""
    spread = _embeds(30, 6)
    narrow = normalize(0.1 * spread + torch.eye(8)[0], dim=1)
    assert float((narrow @ narrow.T).min()) > 0.97
    for images in (spread, narrow):
        assert len(select_prototypes(images[:1], images, None, 20, 10, 0.5)) == 10
    twice = torch.cat([narrow, narrow])
    assert len(set((select_prototypes(narrow[:1], twice, None, 60, 60, 0.5).image % 30).tolist())) == 30
    assert len(select_prototypes(narrow[:1], twice, None, 60, 60, 0.5)) == 30
    assert duplicate_threshold(spread, 1.0) == float("inf")
    assert duplicate_threshold(narrow, 0.9) > duplicate_threshold(spread, 0.9)


def test_copies_of_a_file_count_once_although_they_look_different() -> None:
    """Embeddings of augmented views differ; the first of each concept's own candidates stays, and frees its place."""
    images = _embeds(12, 9)
    keys = np.array([7, 8, 7, 7, 9, 8, 10, 11, 12, 13, 14, 7])
    lists = [list(range(12)), [2, 3, 5, 11], []]
    csr = (np.array([0, 12, 16, 16]), np.array(lists[0] + lists[1]))
    table = select_prototypes(_embeds(3, 8), images, csr, 20, 20, 0.5, picture_keys=keys)
    assert sorted(table.image[table.concept == 0].tolist()) == [0, 1, 4, 6, 7, 8, 9, 10]
    assert sorted(table.image[table.concept == 1].tolist()) == [2, 5]
    everywhere = select_prototypes(_embeds(1, 8), images, None, 20, 20, 0.5, picture_keys=keys)
    assert sorted(everywhere.image.tolist()) == [0, 1, 4, 6, 7, 8, 9, 10]


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
