"""Visual prototypes: the pictures nearest to a concept's prompt, thinned by maximal marginal relevance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from easynlp_fashionklip.graph.mmr import maximal_marginal_relevance

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

PROMPT = "a photo of {surface}"
_CONCEPTS_AT_ONCE = 256
_IMAGES_AT_ONCE = 16384


@dataclass(frozen=True)
class PrototypeTable:
    """Chosen pictures sorted by concept and rank: rows of the prompts (int64), rank from 0 (int32), rows of the images
    (int64) and cosine similarity to the prompt (float32).
    """

    concept: NDArray[np.int64]
    rank: NDArray[np.int32]
    image: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def __len__(self) -> int:
        """Number of prototypes."""
        return len(self.concept)


def image_ids_of(product_ids: Sequence[str]) -> list[str]:
    """A name for each picture: the product's id, `id#1`, `id#2`, ... for its second, third, ... picture."""
    seen: dict[str, int] = {}
    names = []
    for product_id in product_ids:
        count = seen[product_id] = seen.get(product_id, -1) + 1
        names.append(f"{product_id}#{count}" if count else product_id)
    return names


def select_prototypes(
    prompt_embeds: Tensor | NDArray[np.floating],
    image_embeds: Tensor | NDArray[np.floating],
    candidates: tuple[NDArray[np.integer], NDArray[np.integer]] | None = None,
    num_candidates: int = 20,
    num_prototypes: int = 10,
    diversity: float = 0.8,
) -> PrototypeTable:
    """Choose up to `num_prototypes` of N images for each of U concepts.

    Args:
        prompt_embeds: U x d, unit norm.
        image_embeds: N x d, unit norm, any float type; converted to float32 a block at a time.
        candidates: (offsets U + 1, image rows) per concept; None lets every image stand for every concept.
        num_candidates: nearest images among which MMR chooses.
        num_prototypes: images kept; concepts with fewer candidates keep them all.
        diversity: weight of diversity in MMR, 0 to 1.

    Memory is bounded by blocks of 256 concepts and 16,384 images. Equal similarities go to the lower image row.
    """
    prompts, images = _as_tensor(prompt_embeds), _as_tensor(image_embeds)
    if prompts.ndim != 2 or images.ndim != 2 or prompts.shape[1] != images.shape[1]:
        raise ValueError(f"prompts {tuple(prompts.shape)} and images {tuple(images.shape)} must be U x d and N x d.")
    parts = []
    for start in range(0, len(prompts) if len(images) else 0, _CONCEPTS_AT_ONCE):
        block = prompts[start : start + _CONCEPTS_AT_ONCE].float()
        similarity, image = _nearest(block, start, images, candidates, num_candidates)
        parts.append(_thin(start, similarity, image, images, num_prototypes, diversity))
    return _join(parts)


def _as_tensor(values: Tensor | NDArray[np.floating]) -> Tensor:
    return values if isinstance(values, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(values))


def _nearest(
    prompts: Tensor,
    start: int,
    images: Tensor,
    candidates: tuple[NDArray[np.integer], NDArray[np.integer]] | None,
    count: int,
) -> tuple[Tensor, Tensor]:
    """(similarity, image row) of the nearest candidates of a block of concepts: b x count, -inf and 0 where none."""
    similarity = torch.full((len(prompts), count), -torch.inf, device=prompts.device)
    image = torch.zeros(len(prompts), count, dtype=torch.long, device=prompts.device)
    if candidates is None:
        for first, block in _blocks(images, None):
            scores = prompts @ block.to(prompts.device).T  # b x n
            rows = torch.arange(first, first + len(block), device=prompts.device).expand_as(scores)
            similarity, image = _best(torch.cat([similarity, scores], 1), torch.cat([image, rows], 1), count)
        return similarity, image
    offsets, values = candidates
    for i in range(len(prompts)):
        own = torch.from_numpy(values[offsets[start + i] : offsets[start + i + 1]].astype(np.int64))
        for first, block in _blocks(images, own):
            scores = (block.to(prompts.device) @ prompts[i])[None]  # 1 x n
            rows = own[None, first : first + len(block)].to(prompts.device)
            best = _best(torch.cat([similarity[i : i + 1], scores], 1), torch.cat([image[i : i + 1], rows], 1), count)
            similarity[i : i + 1], image[i : i + 1] = best
    return similarity, image


def _blocks(images: Tensor, rows: Tensor | None) -> Iterator[tuple[int, Tensor]]:
    """(position of the first, float32 embeddings) of all images or of those at `rows`, a bounded number at a time."""
    for first in range(0, len(images) if rows is None else len(rows), _IMAGES_AT_ONCE):
        stop = first + _IMAGES_AT_ONCE
        yield first, (images[first:stop] if rows is None else images[rows[first:stop].to(images.device)]).float()


def _best(similarity: Tensor, image: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` most similar columns of each row, of equals the leftmost.

    Everything below the count-th value goes first, so that only a few columns are sorted.
    """
    width = min(similarity.shape[1], 4 * count)
    if similarity.shape[1] > width:
        floor = similarity.topk(count, dim=1).values[:, -1:]  # b x 1
        contested = similarity >= floor
        if int(contested.sum(1).max()) <= width:
            columns = contested.to(torch.uint8).sort(dim=1, descending=True, stable=True).indices[:, :width]
            similarity, image = similarity.gather(1, columns), image.gather(1, columns)
    order = similarity.sort(dim=1, descending=True, stable=True).indices[:, :count]
    return similarity.gather(1, order), image.gather(1, order)


def _thin(
    start: int, similarity: Tensor, image: Tensor, images: Tensor, count: int, diversity: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """MMR over a block's candidates: (concept, rank, image row, similarity), one entry a prototype."""
    mask = similarity > -torch.inf
    embeds = images[image.to(images.device)].float().to(similarity.device)  # b x m x d
    between = embeds @ embeds.transpose(1, 2)  # b x m x m
    chosen, valid = maximal_marginal_relevance(similarity, between, mask, count, diversity)
    concept, rank = valid.nonzero(as_tuple=True)
    column = chosen[concept, rank]
    return concept + start, rank, image[concept, column], similarity[concept, column]


def _join(parts: list[tuple[Tensor, Tensor, Tensor, Tensor]]) -> PrototypeTable:
    if not parts:
        parts = [(torch.zeros(0),) * 4]
    concept, rank, image, similarity = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return PrototypeTable(
        concept.astype(np.int64), rank.astype(np.int32), image.astype(np.int64), similarity.astype(np.float32)
    )
