"""Exact ranks of embeddings, a tile of the similarity matrix at a time, on CPU or GPU.

Similarities are dot products as of float64; float32 decides alone only where its error cannot matter. Scores nearer to
each other than `TIE` are equal, and equal scores count against the query, as `metrics.best_ranks` has it: an irrelevant
item stands before a relevant one. A float64 sum of 1,024 products of unit vectors errs by less than 1e-12, a thousandth
of `TIE`; so ranks depend neither on tiles nor on threads nor on the device, unless two scores differ by `TIE` to a
thousandth of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from easynlp_fashionklip.evaluation.precision import full_precision
from easynlp_fashionklip.graph.csr import offsets_of, take_rows
from easynlp_fashionklip.metrics import NEVER

TIE = 1e-9
TILE_NUMBERS = 1 << 22  # similarities that exist at a time: 32 MiB of float64
_MOST_UNSURE = 1 / 64  # of a tile, for computing them one by one
_PRODUCTS = 1 << 22  # numbers of each side that are gathered for single dot products


def default_device() -> torch.device:
    """The first GPU, where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def as_vectors(embeds: np.ndarray, device: torch.device | None = None, name: str = "embeddings") -> Tensor:
    """Float64 (N, d) on the device.

    Raises:
        ValueError: another shape, or a row that holds something that is no finite number.
    """
    if embeds.ndim != 2:
        raise ValueError(f"{name} have the shape {embeds.shape}, not N x d")
    bad = ~np.isfinite(embeds).all(axis=1)
    if bad.any():
        raise ValueError(f"row {int(bad.argmax())} of the {name} holds a value that is no finite number")
    return torch.as_tensor(embeds, dtype=torch.float64, device=device or default_device())


@dataclass(frozen=True)
class SharedKeys:
    """Who is relevant to whom where that is an equal key: gallery rows in the order of their key's code.

    `code` (Q,) numbers the queries' keys; the rows with code c are `rows[offsets[c] : offsets[c + 1]]`.
    """

    code: np.ndarray
    offsets: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, query_keys: np.ndarray, gallery_keys: np.ndarray) -> SharedKeys:
        """From int64 keys (Q,) and (N,)."""
        codes = np.unique(np.concatenate([query_keys, gallery_keys]), return_inverse=True)[1]
        own, other = codes[: len(query_keys)], codes[len(query_keys) :]
        counts = np.bincount(other, minlength=codes.max(initial=-1) + 1)
        return cls(own, offsets_of(counts), np.argsort(other, kind="stable"))

    def pairs(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """(query, gallery row) of every relevant pair of queries start to stop - 1."""
        offsets, rows = take_rows(self.offsets, self.rows, self.code[start:stop])
        return np.repeat(np.arange(start, stop), np.diff(offsets)), rows

    def tiles(self, start: int, stop: int, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """`pairs`, in parts of at most `most` pairs."""
        queries, rows = self.pairs(start, stop)
        for first in range(0, len(queries), most):
            yield queries[first : first + most], rows[first : first + most]


def ranks_by_key(
    queries: np.ndarray,
    gallery: np.ndarray,
    query_keys: np.ndarray,
    gallery_keys: np.ndarray,
    *,
    device: torch.device | None = None,
    tile_numbers: int = TILE_NUMBERS,
) -> tuple[np.ndarray, np.ndarray]:
    """Best ranks in both directions, each similarity computed once for the two of them.

    Args:
        queries: float (Q, d), for instance pictures.
        gallery: float (N, d), for instance texts.
        query_keys: int64 (Q,).
        gallery_keys: int64 (N,); relevant to each other are rows with equal keys, many to many.
        device: None takes the GPU where there is one.
        tile_numbers: most similarities in memory at a time.

    Returns:
        int64 (Q,): rank from 1 of each query's best relevant gallery row; int64 (N,): of each gallery row's best
        relevant query when the gallery asks. `metrics.NEVER` where nothing is relevant.

    Raises:
        ValueError: an embedding is not finite.
    """
    left, right = as_vectors(queries, device, "query embeddings"), as_vectors(gallery, device, "gallery embeddings")
    shared = SharedKeys.of(query_keys, gallery_keys)
    rows = max(1, tile_numbers // max(1, len(right)))
    with torch.inference_mode():
        best_left, best_right = _best_scores(left, right, shared, rows)
        tiles = _Tiles(left, right, rows)
        ahead_left, ahead_right = (torch.zeros_like(best, dtype=torch.int64) for best in (best_left, best_right))
        for start in range(0, len(left), rows):
            stop = min(start + rows, len(left))
            own, other = (torch.from_numpy(part).to(left.device) for part in shared.pairs(start, stop))
            tile = tiles.similarity(start, stop, (own - start, other))
            ahead_left[start:stop] = tiles.count_ahead(tile, best_left[start:stop, None], 1)
            ahead_right += tiles.count_ahead(tile, best_right[None], 0)
    return _ranks(ahead_left, best_left), _ranks(ahead_right, best_right)


@dataclass
class _Tile:
    """Similarities of queries `start` to `stop` - 1 with the whole gallery, those of relevant pairs at -inf."""

    start: int
    stop: int
    relevant: tuple[Tensor, Tensor]
    rough: Tensor


class _Tiles:
    """Counts what is ahead, in float32 wherever that is beyond doubt and in float64 where it is not.

    A float32 sum of d products errs by at most d 2^-24 |q| |g|. Scores nearer to the one they are compared with are
    computed again; a tile that has many of them, such as of a collapsed encoder, as a whole.
    """

    def __init__(self, left: Tensor, right: Tensor, rows: int) -> None:
        self._left, self._right = left, right
        self._left32, self._right32 = left.float(), right.float().T
        self._buffer = torch.empty((rows, len(right)), dtype=torch.float32, device=left.device)
        longest = [float(side.norm(dim=1).max()) if len(side) else 0.0 for side in (left, right)]
        rounding = left.shape[1] + 16  # 16 more for the rounding of inputs and thresholds to float32
        self._margin = rounding * 2.0**-24 * longest[0] * longest[1] + TIE
        self._pairs_at_once = max(1, _PRODUCTS // left.shape[1])

    def similarity(self, start: int, stop: int, relevant: tuple[Tensor, Tensor]) -> _Tile:
        """The tile of some queries; it is overwritten by the next."""
        out = self._buffer[: stop - start]
        with full_precision(out.device):
            torch.mm(self._left32[start:stop], self._right32, out=out)
        out[relevant] = -torch.inf  # relevant items are never ahead of each other
        return _Tile(start, stop, relevant, out)

    def count_ahead(self, tile: _Tile, best: Tensor, dim: int) -> Tensor:
        """How many irrelevant scores are not below `best` (float64, q x 1 or 1 x N), summed over `dim`."""
        ahead = tile.rough > (best + self._margin).float()
        unsure = (tile.rough >= (best - self._margin).float()).bitwise_xor_(ahead)
        count = ahead.sum(dim)
        rows, columns = unsure.nonzero(as_tuple=True)
        if len(rows) > _MOST_UNSURE * unsure.numel():
            return self._exact(tile, best, dim)
        for first in range(0, len(rows), self._pairs_at_once):
            part = slice(first, first + self._pairs_at_once)
            scores = (self._left[tile.start + rows[part]] * self._right[columns[part]]).sum(1)
            place = (rows if dim else columns)[part]
            count.index_add_(0, place, (scores >= best.flatten()[place] - TIE).long())
        return count

    def _exact(self, tile: _Tile, best: Tensor, dim: int) -> Tensor:
        scores = self._left[tile.start : tile.stop] @ self._right.T
        scores[tile.relevant] = -torch.inf
        return (scores >= best - TIE).sum(dim)


def _best_scores(left: Tensor, right: Tensor, shared: SharedKeys, rows: int) -> tuple[Tensor, Tensor]:
    """Highest similarity to a relevant row, of each row of both sides; -inf without any."""
    best_left = torch.full((len(left),), -torch.inf, dtype=torch.float64, device=left.device)
    best_right = torch.full((len(right),), -torch.inf, dtype=torch.float64, device=left.device)
    most = max(1, _PRODUCTS // left.shape[1])
    for start in range(0, len(left), rows):
        for part in shared.tiles(start, min(start + rows, len(left)), most):
            own, other = (torch.from_numpy(numbers).to(left.device) for numbers in part)
            score = (left[own] * right[other]).sum(1)
            best_left.scatter_reduce_(0, own, score, "amax")
            best_right.scatter_reduce_(0, other, score, "amax")
    return best_left, best_right


def _ranks(ahead: Tensor, best: Tensor) -> np.ndarray:
    return torch.where(best > -torch.inf, ahead + 1, NEVER).cpu().numpy()


def candidate_ranks(
    queries: np.ndarray, gallery: np.ndarray, candidates: np.ndarray, *, device: torch.device | None = None
) -> np.ndarray:
    """Rank from 1 of the first candidate among a query's own few; int64 (Q,).

    Args:
        queries: float (Q, d).
        gallery: float (N, d).
        candidates: int64 (Q, C), gallery rows, the relevant one in column 0.
        device: None takes the GPU where there is one.
    """
    left, right = as_vectors(queries, device, "query embeddings"), as_vectors(gallery, device, "gallery embeddings")
    chosen = torch.from_numpy(candidates).to(left.device)
    rows = max(1, _PRODUCTS // max(1, candidates.shape[1] * left.shape[1]))
    ranks = torch.zeros(len(left), dtype=torch.int64, device=left.device)
    with torch.inference_mode():
        for start in range(0, len(left), rows):
            part = slice(start, start + rows)
            similarity = torch.einsum("qd,qcd->qc", left[part], right[chosen[part]])
            ranks[part] = 1 + (similarity[:, 1:] >= similarity[:, :1] - TIE).sum(1)
    return ranks.cpu().numpy()


def product_similarities(
    queries: np.ndarray,
    documents: np.ndarray,
    product: np.ndarray | None = None,
    *,
    device: torch.device | None = None,
    tile_numbers: int = TILE_NUMBERS,
) -> Iterator[tuple[int, Tensor]]:
    """(first query, float64 (q, P)) for some queries at a time: similarity to P products.

    A product is as near as its nearest document. `product` (N,) numbers the products of the documents from 0; None
    says that each document is one.
    """
    left, right = as_vectors(queries, device, "query embeddings"), as_vectors(documents, device, "gallery embeddings")
    index = None if product is None else torch.from_numpy(product).to(left.device)
    rows = max(1, tile_numbers // max(1, len(right)))
    for start in range(0, len(left), rows):
        similarity = left[start : start + rows] @ right.T
        if index is not None:
            nearest = similarity.new_full((len(similarity), int(index.max()) + 1), -torch.inf)
            similarity = nearest.scatter_reduce_(1, index.expand_as(similarity), similarity, "amax")
        yield start, similarity


def relevant_ranks(
    queries: np.ndarray,
    documents: np.ndarray,
    offsets: np.ndarray,
    items: np.ndarray,
    product: np.ndarray | None = None,
    *,
    device: torch.device | None = None,
    tile_numbers: int = TILE_NUMBERS,
) -> np.ndarray:
    """Rank from 1 of every relevant product of every query.

    A relevant product stands behind the irrelevant ones with the same score, and before the relevant ones with a lower
    one; so the ranks of a query are distinct.

    Args:
        queries: float (Q, d).
        documents: float (N, d).
        offsets: int64 (Q + 1,).
        items: int64: query i's relevant products are `items[offsets[i] : offsets[i + 1]]`, distinct.
        product: see `product_similarities`.
        device: None takes the GPU where there is one.
        tile_numbers: most similarities in memory at a time.

    Returns:
        int64 (len(items),): each query's ranks ascending, not in the order of its items.
    """
    ranks = np.zeros(len(items), dtype=np.int64)
    for first, similarity in product_similarities(
        queries, documents, product, device=device, tile_numbers=tile_numbers
    ):
        for row, scores in enumerate(similarity, start=first):
            own = slice(int(offsets[row]), int(offsets[row + 1]))
            ranks[own] = _ranks_of(scores, torch.from_numpy(items[own]).to(scores.device)).cpu().numpy()
    return ranks


def _ranks_of(scores: Tensor, relevant: Tensor) -> Tensor:
    own = scores[relevant].sort(descending=True).values
    others = scores.clone()
    others[relevant] = -torch.inf
    behind = torch.searchsorted(others.sort().values, own - TIE)
    return len(scores) - behind + torch.arange(1, len(own) + 1, device=scores.device)


def nearest(
    queries: np.ndarray, gallery: np.ndarray, count: int, *, device: torch.device | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, similarities), (Q, count) each: every query's nearest gallery rows, nearest first."""
    count = min(count, len(gallery))
    found = [
        torch.topk(similarity, count, dim=1) for _, similarity in product_similarities(queries, gallery, device=device)
    ]
    if not found:
        return np.zeros((0, count), np.int64), np.zeros((0, count))
    values, rows = torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])
    return rows.cpu().numpy(), values.cpu().numpy()
