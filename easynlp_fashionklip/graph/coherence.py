"""Visual coherence: how far a concept can be told from the pictures of the products that mention it.

Pictures of a denim jacket look like each other; pictures of what is *stylish* do not. Two measures of this, each 0 in
the mean for pictures drawn by lot and 1 at most, are averaged:

- *separation*: 2 A - 1, where A is the chance that a picture that mentions the concept is more similar to the mean of
  the others that do than a picture that does not mention it is;
- *purity*: how many of a picture's nearest neighbours mention the concept too, beyond the concept's share of
  all pictures. Separation alone is high for what a whole department mentions (*shock absorption*); its
  neighbours are mixed.

Similarity is cosine after centring and shrunk whitening: encoders put all pictures into a narrow cone, and a few
directions (model or still, shoe or shirt) would hide the others. Only pictures and mentions are looked at, no wording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize

from easynlp_fashionklip.graph.csr import from_pairs, rows_of
from easynlp_fashionklip.graph.nearest import nearest, rows_at

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

FEWEST = 5  # pictures that a concept needs to be judged by
NEIGHBOURS = 20
MOST_PICTURES = 50_000  # of a larger catalogue every n-th picture is looked at
OTHERS = 2_000  # pictures that stand for those that do not mention a concept
_CONCEPTS_AT_ONCE = 256
_ROWS_AT_ONCE = 4096
_MENTIONS_AT_ONCE = 1 << 16


def visual_coherence(
    image_embeds: Tensor | NDArray[np.floating], offsets: NDArray[np.integer], images: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Coherence of each of U concepts, float32: near 0 for a random set, at most 1, nan with fewer than 5 pictures.

    Args:
        image_embeds: N x d, unit norm, any float type.
        offsets, images: the concepts' pictures: those of concept c are `images[offsets[c]:offsets[c + 1]]`, ascending.

    Deterministic. Takes O(N^2 d) for the neighbours with N at most 50,000, and 4 N d bytes.
    """
    embeds = image_embeds if isinstance(image_embeds, torch.Tensor) else torch.from_numpy(np.asarray(image_embeds))
    concept, image = rows_of(offsets), images.astype(np.int64)
    step = -(-len(embeds) // MOST_PICTURES)
    if step > 1:
        kept = image % step == 0
        concept, image = concept[kept], image[kept] // step
    offsets, image = from_pairs(concept, image, len(offsets) - 1)
    counts = np.diff(offsets)
    result = np.full(len(counts), np.nan, dtype=np.float32)
    judged = np.flatnonzero((counts >= FEWEST) & (counts < -(-len(embeds) // max(1, step))))
    if len(judged):
        space = _whitened(embeds[:: max(1, step)])
        both = _separation(space, offsets, image)[judged] + _purity(space, offsets, image)[judged]
        result[judged] = both / 2
    return result


def _whitened(embeds: Tensor) -> Tensor:
    """N x d float32 unit vectors: centred, each principal axis divided by the root of its and the mean variance."""
    total, dim = embeds.shape
    mean, square = torch.zeros(dim, dtype=torch.float64), torch.zeros(dim, dim, dtype=torch.float64)
    for part in embeds.split(_ROWS_AT_ONCE):
        mean += part.sum(dim=0, dtype=torch.float64)
    mean /= total
    for part in embeds.split(_ROWS_AT_ONCE):
        centred = part.double() - mean
        square += centred.T @ centred
    variance, axes = torch.linalg.eigh(square / total)
    variance = variance.clamp(min=0)
    scale = axes / (variance + variance.mean().clamp(min=torch.finfo(torch.float64).tiny)).sqrt()
    return torch.cat([normalize((part.double() - mean) @ scale, dim=1).float() for part in embeds.split(_ROWS_AT_ONCE)])


def _separation(space: Tensor, offsets: NDArray[np.int64], image: NDArray[np.int64]) -> NDArray[np.float64]:
    """2 A - 1 of every concept; see the module."""
    result = np.zeros(len(offsets) - 1)
    drawn = torch.linspace(0, len(space) - 1, min(OTHERS, len(space))).round().long()
    for first in range(0, len(result), _CONCEPTS_AT_ONCE):
        stop = min(first + _CONCEPTS_AT_ONCE, len(result))
        own = torch.from_numpy(image[offsets[first] : offsets[stop]])
        row = torch.from_numpy(rows_of(offsets[first : stop + 1] - offsets[first]))
        count = torch.from_numpy(np.diff(offsets[first : stop + 1])).double()
        total = torch.zeros(stop - first, space.shape[1], dtype=torch.float64)
        for part in torch.arange(len(own)).split(_MENTIONS_AT_ONCE):
            total.index_add_(0, row[part], rows_at(space, own[part]).double())
        means = (total / count.clamp(min=1)[:, None]).float()
        result[first:stop] = _chances(space, own, row, total, count, means @ space[drawn].T, drawn).numpy() * 2 - 1
    return result


def _chances(
    space: Tensor, own: Tensor, row: Tensor, total: Tensor, count: Tensor, others: Tensor, drawn: Tensor
) -> Tensor:
    """A for b concepts with M mentions (`own` pictures, `row` of the concept): b.

    `others` (b x drawn) is the similarity of the drawn pictures to the concepts' means; those that mention a concept do
    not count for it, and a picture is compared with the mean of the *other* pictures.
    """
    place = torch.full((len(space),), -1)
    place[drawn] = torch.arange(len(drawn))
    mentioned = place[own] >= 0
    others[row[mentioned], place[own[mentioned]]] = torch.inf
    left = (others < torch.inf).sum(dim=1)
    others = others.sort(dim=1).values
    chance = torch.zeros(len(count), dtype=torch.float64)
    for part in torch.arange(len(own)).split(_MENTIONS_AT_ONCE):
        embeds = rows_at(space, own[part]).double()
        here = row[part]
        similarity = ((total[here] - embeds) * embeds).sum(dim=1) / (count[here] - 1).clamp(min=1)
        chance.index_add_(0, here, _share_below(others, left, here, similarity.float()))
    return chance / count.clamp(min=1)


def _share_below(others: Tensor, left: Tensor, row: Tensor, value: Tensor) -> Tensor:
    """Which share of the first `left` values of row `row` of sorted `others` is below each value; equals count half.

    `row` is ascending, so that the values of a row lie together and become one row of a padded matrix.
    """
    found, counts = torch.unique_consecutive(row, return_counts=True)
    start = counts.cumsum(0) - counts
    column = torch.arange(len(row)) - start.repeat_interleave(counts)
    padded = torch.zeros(len(found), int(counts.max()))
    line = torch.arange(len(found)).repeat_interleave(counts)
    padded[line, column] = value
    below = torch.searchsorted(others[found], padded) + torch.searchsorted(others[found], padded, right=True)
    return below[line, column].double() / 2 / left[row].clamp(min=1)


def _purity(space: Tensor, offsets: NDArray[np.int64], image: NDArray[np.int64]) -> NDArray[np.float64]:
    """Excess of the concept among the neighbours of its pictures over its share of all, as a part of the possible."""
    total, counts = len(space), np.diff(offsets)
    neighbours = _neighbours(space)
    wanted = rows_of(offsets) * total + image  # ascending
    shared = np.zeros(len(counts))
    for first in range(0, len(image), _MENTIONS_AT_ONCE):
        mine = slice(first, first + _MENTIONS_AT_ONCE)
        key = (wanted[mine] - image[mine])[:, None] + neighbours[image[mine]]
        place = np.minimum(np.searchsorted(wanted, key), len(wanted) - 1)
        concept = wanted[mine] // total
        shared += np.bincount(concept, (wanted[place] == key).sum(axis=1), minlength=len(counts))
    possible = np.minimum(neighbours.shape[1], np.maximum(counts - 1, 1)) * np.maximum(counts, 1)
    expected = np.maximum(counts - 1, 0) / max(1, total - 1)
    return (shared / possible - expected) / np.maximum(1 - expected, 1 / total)


def _neighbours(space: Tensor) -> NDArray[np.int64]:
    """Rows of each picture's nearest others: N x up to 20."""
    count = min(NEIGHBOURS, len(space) - 1)
    found = np.empty((len(space), count), dtype=np.int64)
    for first in range(0, len(space), _ROWS_AT_ONCE):
        own = torch.arange(first, min(first + _ROWS_AT_ONCE, len(space)))
        near = nearest(space[own], space, None, count + 1)[1]
        # A picture is its own nearest one, except among copies of it: then the last one makes room.
        itself = near == own[:, None]
        itself[~itself.any(dim=1), -1] = True
        found[first : first + len(own)] = near[~itself].view(len(own), count).numpy()
    return found
