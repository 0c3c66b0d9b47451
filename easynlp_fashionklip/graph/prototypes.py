"""Visual prototypes: the pictures nearest to a concept's prompt, thinned by maximal marginal relevance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from easynlp_fashionklip.graph.csr import from_pairs, rows_of
from easynlp_fashionklip.graph.mmr import maximal_marginal_relevance
from easynlp_fashionklip.graph.nearest import ELEMENTS_AT_ONCE, Candidates, nearest, rows_at

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

PROMPT = "a photo of {surface}"
DUPLICATE_SIMILARITY = 0.98  # measured: docs/BENCHMARKS.md, "Near-duplicate pictures"
_ROWS_AT_ONCE = 65536


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
    duplicate_similarity: float = DUPLICATE_SIMILARITY,
    picture_keys: NDArray[np.integer] | None = None,
) -> PrototypeTable:
    """Choose up to `num_prototypes` of N images for each of U concepts.

    Args:
        prompt_embeds: U x d, unit norm.
        image_embeds: N x d, unit norm, any float type; converted a block at a time.
        candidates: (offsets U + 1, image rows) per concept; None lets every image stand for every concept.
        num_candidates: nearest images among which MMR chooses.
        num_prototypes: images kept; concepts with fewer candidates keep them all.
        diversity: weight of diversity in MMR, 0 to 1.
        duplicate_similarity: of images more similar than this only one becomes a prototype; 1 or more keeps all. It
            holds for embeddings that fill the sphere; see `duplicate_threshold`.
        picture_keys: N integers, equal for the same picture in several rows: of these only the first candidate counts.

    Memory is bounded by blocks of concepts and images, whose size does not change the result. Equal similarities go to
    the lower image row.
    """
    prompts, images = _as_tensor(prompt_embeds).float(), _as_tensor(image_embeds)
    if prompts.ndim != 2 or images.ndim != 2 or prompts.shape[1] != images.shape[1]:
        raise ValueError(f"prompts {tuple(prompts.shape)} and images {tuple(images.shape)} must be U x d and N x d.")
    if num_candidates < 1:
        raise ValueError(f"num_candidates must be at least 1, not {num_candidates}.")
    among, allowed = None if candidates is None else Candidates(*candidates), None
    if picture_keys is not None:
        among, allowed = _without_copies(among, np.asarray(picture_keys))
    if not len(images):
        return _join([])
    similarity, image = nearest(prompts, images, among, num_candidates, allowed)
    threshold = duplicate_threshold(images, duplicate_similarity)
    return _join(_thin(similarity, image, images, num_prototypes, diversity, threshold))


def duplicate_threshold(image_embeds: Tensor | NDArray[np.floating], duplicate_similarity: float) -> float:
    """The cosine above which two of N x d unit vectors count as the same picture.

    Encoders put all pictures into a cone, the narrower the less they have been trained: what counts is the distance
    between two pictures in units of the mean distance between any two, `1 - |mean|^2`, here rounded to a power
    of the fourth root of 2, so that a few more pictures do not move the threshold.
    """
    images = _as_tensor(image_embeds)
    if duplicate_similarity >= 1 or not len(images):
        return float("inf")
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    for start in range(0, len(images), _ROWS_AT_ONCE):
        total += images[start : start + _ROWS_AT_ONCE].double().sum(dim=0).cpu()
    spread = 1.0 - float((total / len(images)).square().sum())
    spread = 2.0 ** (round(4 * math.log2(max(spread, 1e-6))) / 4)
    return 1.0 - (1.0 - duplicate_similarity) * spread


def _as_tensor(values: Tensor | NDArray[np.floating]) -> Tensor:
    return values if isinstance(values, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(values))


def _without_copies(
    candidates: Candidates | None, keys: NDArray[np.integer]
) -> tuple[Candidates | None, Tensor | None]:
    """The first candidate of each picture for each concept; without candidates, the mask of these among N."""
    first, code = np.unique(keys, return_index=True, return_inverse=True)[1:]
    if len(first) == len(keys):
        return candidates, None
    if candidates is not None:
        return Candidates(*first_of_each_picture(candidates.offsets, candidates.values, code)), None
    allowed = torch.zeros(len(keys), dtype=torch.bool)
    allowed[torch.from_numpy(first)] = True
    return None, allowed


def first_of_each_picture(
    offsets: NDArray[np.integer], values: NDArray[np.integer], picture: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Candidates (offsets U + 1, image rows) of each concept less those whose `picture` (N, >= 0) a lower row has."""
    order = np.lexsort((values, picture[values], rows_of(offsets)))
    concept, same = rows_of(offsets)[order], picture[values[order]]
    is_first = np.append(True, (concept[1:] != concept[:-1]) | (same[1:] != same[:-1]))[: len(order)]
    kept = order[is_first]
    return from_pairs(concept[is_first], values[kept].astype(np.int64), len(offsets) - 1)


def _thin(
    similarity: Tensor, image: Tensor, images: Tensor, count: int, diversity: float, threshold: float
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """MMR over each concept's candidates: (concept, rank, image row, similarity), one entry a prototype, by block."""
    parts = []
    step = max(1, ELEMENTS_AT_ONCE // max(1, image.shape[1] * images.shape[1]))
    for start in range(0, len(image), step):
        own, rows = similarity[start : start + step], image[start : start + step]
        embeds = rows_at(images, rows).to(own.device).double()  # b x m x d
        # Rounded from double precision, so that neither block size nor threads show; see graph/nearest.py.
        between = (embeds @ embeds.transpose(1, 2)).float()  # b x m x m
        alike = between > threshold if threshold < 1 else None
        chosen, valid = maximal_marginal_relevance(own, between, own > -torch.inf, count, diversity, alike)
        concept, rank = valid.nonzero(as_tuple=True)
        column = chosen[concept, rank]
        parts.append((concept + start, rank, rows[concept, column], own[concept, column]))
    return parts


def _join(parts: list[tuple[Tensor, Tensor, Tensor, Tensor]]) -> PrototypeTable:
    if not parts:
        parts = [(torch.zeros(0),) * 4]
    concept, rank, image, similarity = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return PrototypeTable(
        concept.astype(np.int64), rank.astype(np.int32), image.astype(np.int64), similarity.astype(np.float32)
    )
