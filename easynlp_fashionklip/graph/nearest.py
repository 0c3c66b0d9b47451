"""The pictures nearest to each concept's prompt: exact, batched, with ties to the lowest row.

A matrix product in single precision ranks pictures but for rounding, which depends on the shapes multiplied. It only
makes a shortlist, somewhat longer than asked for; the shortlist's similarities are then summed in double precision, so
that neither the size of the blocks nor the number of threads shows in the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SPARE = 12  # pictures on a shortlist beyond those asked for
CONCEPTS_AT_ONCE = 1024  # with 4,096 pictures the scores stay in the cache
IMAGES_AT_ONCE = 4096
ELEMENTS_AT_ONCE = 1 << 20  # numbers of a gathered block of embeddings
_PAIRS_AT_ONCE = 1 << 22
_DENSE_SHARE = 64  # from N / 64 candidates on, a product with all N pictures costs less than gathering them
_GROUP = 32


@dataclass(frozen=True)
class Candidates:
    """Which of the N pictures may stand for each of U concepts: row c is `values[offsets[c]:offsets[c + 1]]`."""

    offsets: NDArray[np.integer]
    values: NDArray[np.integer]

    def padded(self, concepts: NDArray[np.int64], width: int) -> tuple[Tensor, Tensor]:
        """Image rows (b x width, 0 where none) of b concepts with at most `width` candidates, and the mask of them."""
        starts, counts = self.offsets[concepts], self.offsets[concepts + 1] - self.offsets[concepts]
        columns = np.arange(width)
        mask = columns < counts[:, None]
        place = np.where(mask, starts[:, None] + columns, 0)
        rows = np.where(mask, self.values[place] if len(self.values) else 0, 0).astype(np.int64)
        return torch.from_numpy(rows), torch.from_numpy(mask)

    def pairs(self, concepts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(position in `concepts`, image row) of all their candidates, by image row."""
        rows = [self.values[self.offsets[one] : self.offsets[one + 1]] for one in concepts.tolist()]
        values = np.concatenate(rows).astype(np.int64)
        order = np.argsort(values, kind="stable")
        return np.repeat(np.arange(len(rows)), [len(row) for row in rows])[order], values[order]


def nearest(
    prompts: Tensor, images: Tensor, candidates: Candidates | None, count: int, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The `count` candidates most similar to each prompt, the most similar first, of equals the lowest row.

    Args:
        prompts: U x d, float32, unit norm.
        images: N x d, unit norm, any float type.
        candidates: of the U concepts; None lets every picture stand for every concept.
        count: how many, at least 1.
        allowed: N, bool: without `candidates`, the pictures that may be chosen at all.

    Returns:
        cosine similarity (U x count, float32, -inf where a concept has fewer candidates) and image row (int64, 0
        there), on the device of the prompts.
    """
    similarity = torch.full((len(prompts), count), -torch.inf, device=prompts.device)
    image = torch.zeros(len(prompts), count, dtype=torch.long, device=prompts.device)
    for concepts, dense in _concept_blocks(len(prompts), images, candidates, count + SPARE):
        here = torch.from_numpy(concepts).to(prompts.device)
        block = prompts[here]
        if dense or candidates is None:
            approximate, rows = _shortlist_of_all(block, images, candidates, concepts, count + SPARE, allowed)
        else:
            approximate, rows = _shortlist_of_candidates(block, images, candidates, concepts, count + SPARE)
        similarity[here], image[here] = _settled(block, images, approximate, rows, count)
        for position in _undecided(approximate, images, count).tolist():
            own = _own_rows(len(images), candidates, int(concepts[position]), allowed)
            row = here[position]
            similarity[row], image[row] = _exhaustive(block[position], images, own, approximate[position], count)
    return similarity, image


def _concept_blocks(
    total: int, images: Tensor, candidates: Candidates | None, width: int
) -> Iterator[tuple[NDArray[np.int64], bool]]:
    """Blocks of concepts of bounded size, and whether to compare them with all pictures; alike counts go together."""
    if candidates is None:
        for start in range(0, total if len(images) else 0, CONCEPTS_AT_ONCE):
            yield np.arange(start, min(start + CONCEPTS_AT_ONCE, total)), True
        return
    counts = np.diff(candidates.offsets)
    order = np.argsort(counts, kind="stable")
    ranked = counts[order]
    dense_from = max(width, min(len(images) // _DENSE_SHARE, ELEMENTS_AT_ONCE // max(1, images.shape[1])))
    first = int(np.searchsorted(ranked, 1))
    while first < total:
        dense = bool(ranked[first] > dense_from)
        stop = _end_of_block(ranked, first, dense, dense_from, images.shape[1])
        yield order[first:stop].astype(np.int64), dense
        first = stop


def _end_of_block(ranked: NDArray[np.int64], first: int, dense: bool, dense_from: int, dim: int) -> int:
    """Where the block that begins at `first` of the ascending counts has to end."""
    if dense:
        pairs = np.cumsum(ranked[first : first + CONCEPTS_AT_ONCE])
        return first + max(1, int(np.searchsorted(pairs, _PAIRS_AT_ONCE, side="right")))
    last = int(np.searchsorted(ranked, dense_from, side="right"))
    largest = ranked[first:last] * np.arange(1, last - first + 1) * max(1, dim)
    return first + max(1, int(np.searchsorted(largest, ELEMENTS_AT_ONCE, side="right")))


def _shortlist_of_all(
    prompts: Tensor,
    images: Tensor,
    candidates: Candidates | None,
    concepts: NDArray[np.int64],
    width: int,
    allowed: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """(similarity but for rounding, image row) of the best of all pictures or candidates: b x width."""
    similarity = torch.full((len(prompts), width), -torch.inf, device=prompts.device)
    image = torch.zeros(len(prompts), width, dtype=torch.long, device=prompts.device)
    pairs = None if candidates is None else candidates.pairs(concepts)
    memory = prompts.new_empty(len(prompts) * min(IMAGES_AT_ONCE, len(images)))  # used again by each block
    for first in range(0, len(images), IMAGES_AT_ONCE):
        block = images[first : first + IMAGES_AT_ONCE].to(prompts.device).float()
        scores = memory[: len(prompts) * len(block)].view(len(prompts), len(block))
        torch.mm(prompts, block.T, out=scores)
        if pairs is not None:
            scores = _only(scores, first, *pairs)
        elif allowed is not None:
            scores.masked_fill_(~allowed[first : first + len(block)].to(scores.device), -torch.inf)
        columns = _promising(scores, width, similarity.amin(dim=1, keepdim=True))
        similarity, order = torch.cat([similarity, scores.gather(1, columns)], 1).topk(width, dim=1, sorted=False)
        image = torch.cat([image, columns + first], 1).gather(1, order)
    return _descending(similarity, image)


def _descending(similarity: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    similarity, order = similarity.sort(dim=1, descending=True)
    return similarity, image.gather(1, order)


def _only(scores: Tensor, first: int, row: NDArray[np.int64], column: NDArray[np.int64]) -> Tensor:
    """The scores of a block of pictures where (row, column) has a pair, -inf elsewhere."""
    start, stop = np.searchsorted(column, [first, first + scores.shape[1]])
    mask = torch.zeros(scores.shape, dtype=torch.bool)
    mask[torch.from_numpy(row[start:stop]), torch.from_numpy(column[start:stop] - first)] = True
    return scores.masked_fill_(~mask.to(scores.device), -torch.inf)


def _promising(scores: Tensor, width: int, floor: Tensor) -> Tensor:
    """Columns among which are those of each row's `width` largest that exceed its floor (b x 1).

    The largest are all in the groups of columns with the largest maxima, and maxima of groups are cheaper than sorting.
    """
    groups = scores.shape[1] // _GROUP
    grouped = scores[:, : groups * _GROUP].unflatten(1, (_GROUP, groups))  # strided, so that maxima are vectorised
    maxima = grouped.amax(dim=1)  # b x groups
    most = min(width, int((maxima > floor).sum(dim=1).amax()))
    group = maxima.topk(most, dim=1, sorted=False).indices
    columns = (group[:, None] + groups * torch.arange(_GROUP, device=scores.device)[:, None]).flatten(1)
    rest = torch.arange(groups * _GROUP, scores.shape[1], device=scores.device).expand(len(scores), -1)
    return torch.cat([columns, rest], 1)


def rows_at(embeds: Tensor, rows: Tensor) -> Tensor:
    """N x d, int64 ... -> ... x d on the device of the embeddings; copies whole rows, unlike `embeds[rows]`."""
    return embeds.index_select(0, rows.flatten().to(embeds.device)).unflatten(0, rows.shape)


def _shortlist_of_candidates(
    prompts: Tensor, images: Tensor, candidates: Candidates, concepts: NDArray[np.int64], width: int
) -> tuple[Tensor, Tensor]:
    """`_shortlist_of_all` for concepts with few candidates; all of them, unranked (nan), where they are few enough."""
    rows, mask = candidates.padded(concepts, _most(candidates, concepts))
    if rows.shape[1] <= width:
        return torch.where(mask, torch.nan, -torch.inf).to(prompts.device), rows.to(prompts.device)
    gathered = rows_at(images, rows).to(prompts.device).float()  # b x m x d
    scores = (gathered @ prompts[:, :, None]).squeeze(2).masked_fill_(~mask.to(prompts.device), -torch.inf)
    similarity, columns = scores.topk(width, dim=1)  # sorted: `_undecided` looks at the count-th
    return similarity, rows.to(prompts.device).gather(1, columns)


def _most(candidates: Candidates, concepts: NDArray[np.int64]) -> int:
    return int((candidates.offsets[concepts + 1] - candidates.offsets[concepts]).max())


def _settled(prompts: Tensor, images: Tensor, shortlisted: Tensor, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best of a shortlist (-inf in `shortlisted`: no entry): b x count, -inf and 0 where fewer."""
    rows = torch.where(shortlisted == -torch.inf, torch.iinfo(torch.long).max, rows).sort(dim=1).values
    valid = rows < torch.iinfo(torch.long).max
    rows = rows.masked_fill_(~valid, 0)
    similarity = torch.empty(rows.shape, device=prompts.device)
    step = max(1, ELEMENTS_AT_ONCE // max(1, rows.shape[1] * images.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        similarity[part] = _exact(prompts[part], rows_at(images, rows[part]))
    order = similarity.masked_fill_(~valid, -torch.inf).sort(dim=1, descending=True, stable=True).indices[:, :count]
    similarity, rows = similarity.gather(1, order), rows.gather(1, order)
    missing = (0, count - order.shape[1])
    return torch.nn.functional.pad(similarity, missing, value=-torch.inf), torch.nn.functional.pad(rows, missing)


def _exact(prompts: Tensor, embeds: Tensor) -> Tensor:
    """Sums of products in double precision, rounded once: the same float32 in whatever company they are computed."""
    return (embeds.to(prompts.device).double() @ prompts.double()[..., None]).squeeze(-1).float()


def _undecided(shortlisted: Tensor, images: Tensor, count: int) -> Tensor:
    """Rows whose shortlist may lack one of the best, because more pictures than fit on it are equal but for rounding.

    A float32 sum of d products of unit vectors is off by at most d 2^-24; twice that separates two of them, and it is
    doubled once more for vectors that half precision has made a little longer than one.
    """
    if shortlisted.shape[1] < count + SPARE:
        return torch.zeros(0, dtype=torch.long)
    margin = images.shape[1] * 2.0**-22
    last = shortlisted.amin(dim=1)
    return ((last > -torch.inf) & (last >= shortlisted[:, count - 1] - margin)).nonzero().flatten()


def _own_rows(total: int, candidates: Candidates | None, concept: int, allowed: Tensor | None) -> Tensor:
    """Image rows of one concept's candidates, ascending."""
    if candidates is not None:
        own = candidates.values[candidates.offsets[concept] : candidates.offsets[concept + 1]]
        return torch.from_numpy(np.sort(own).astype(np.int64))
    return torch.arange(total) if allowed is None else allowed.nonzero().flatten()


def _exhaustive(prompt: Tensor, images: Tensor, rows: Tensor, shortlisted: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best for one prompt among all pictures that rounding could have kept from its shortlist."""
    floor = shortlisted[count - 1] - images.shape[1] * 2.0**-22
    similarity, image = prompt.new_zeros(0), torch.zeros(0, dtype=torch.long, device=prompt.device)
    for part in rows.split(IMAGES_AT_ONCE):
        embeds = images[part.to(images.device)].to(prompt.device)
        near = (embeds.float() @ prompt >= floor).nonzero().flatten()
        similarity = torch.cat([similarity, _exact(prompt, embeds[near])])
        image = torch.cat([image, part.to(prompt.device)[near]])
        order = similarity.sort(descending=True, stable=True).indices[:count]
        similarity, image = similarity[order], image[order]
    return similarity, image
