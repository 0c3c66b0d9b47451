"""Galleries of 101 that are drawn for each query: the sampled protocols of the FashionGen literature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.gallery import PairGallery, codes_of
from easynlp_fashionklip.graph.csr import offsets_of


@dataclass(frozen=True)
class SamplingRule:
    """What is drawn.

    Attributes:
        queries: how many a draw asks; all, where there are fewer.
        negatives: candidates beside the right one, all of other products.
        redraws: how often everything is drawn anew.
        by_product: a draw asks each product at most once, and a product is at most once among the candidates.
    """

    queries: int = 1000
    negatives: int = 100
    redraws: int = 5
    by_product: bool = False


@dataclass(frozen=True)
class Draws:
    """The lists of one direction.

    Attributes:
        queries: int64 (redraws, Q), rows.
        candidates: int64 (redraws, Q, 1 + negatives), rows; first the query's own, then the others as drawn.
        filled: int64 (redraws, Q): how many of the negatives had to come from other sub-categories.
    """

    queries: np.ndarray
    candidates: np.ndarray
    filled: np.ndarray

    def arrays(self, name: str) -> Mapping[str, np.ndarray]:
        """To be saved: `<name>_queries`, `<name>_candidates`, `<name>_filled`."""
        parts = {"queries": self.queries, "candidates": self.candidates, "filled": self.filled}
        return {f"{name}_{part}": values.astype(np.int32) for part, values in parts.items()}


def check_size(gallery: PairGallery, by_product: bool) -> None:
    """Raise InputError unless 100 negatives can be drawn for every pair."""
    _require(np.unique(gallery.product_keys, return_counts=True)[1], SamplingRule(by_product=by_product))


def _require(pairs_of: np.ndarray, rule: SamplingRule) -> None:
    others = len(pairs_of) - 1 if rule.by_product else int(pairs_of.sum() - pairs_of.max(initial=0))
    if others < rule.negatives:
        what = "products" if rule.by_product else "pairs of other products"
        raise InputError(
            f"the table has {max(others, 0):,} {what} beside a query's own where this protocol draws {rule.negatives} "
            "negatives; give a larger table or take a protocol that searches the whole gallery."
        )


def draw(gallery: PairGallery, rule: SamplingRule, seed: tuple[int, ...]) -> Draws:
    """Draw queries and candidates, the same for the same seed whatever the embeddings.

    Args:
        gallery: with categories.
        rule: what is drawn.
        seed: numbers that select the random stream.

    Raises:
        InputError: there are too few other products to draw from.
    """
    pool = _Pool.of(gallery, rule)
    streams = [np.random.default_rng([*seed, redraw]) for redraw in range(rule.redraws)]
    drawn = [_draw_once(pool, rule, stream) for stream in streams]
    queries, candidates, filled = (np.stack(parts) for parts in zip(*drawn, strict=True))
    return Draws(queries, candidates, filled)


@dataclass(frozen=True)
class _Pool:
    """Rows by sub-category and by product."""

    product: np.ndarray  # (N,) codes from 0
    category: np.ndarray  # (N,) codes from 0
    rows: np.ndarray  # by category
    offsets: np.ndarray
    by_product: np.ndarray  # rows by product
    product_offsets: np.ndarray

    @classmethod
    def of(cls, gallery: PairGallery, rule: SamplingRule) -> _Pool:
        product = np.unique(gallery.product_keys, return_inverse=True)[1]
        category = codes_of(gallery.categories)
        _require(np.bincount(product), rule)
        return cls(
            product,
            category,
            np.argsort(category, kind="stable"),
            offsets_of(np.bincount(category)),
            np.argsort(product, kind="stable"),
            offsets_of(np.bincount(product)),
        )

    def among(self, category: int) -> np.ndarray:
        return self.rows[self.offsets[category] : self.offsets[category + 1]]

    def pairs_of(self, product: int) -> np.ndarray:
        return self.by_product[self.product_offsets[product] : self.product_offsets[product + 1]]


def _draw_once(
    pool: _Pool, rule: SamplingRule, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if rule.by_product:
        products = random.permutation(len(pool.product_offsets) - 1)[: rule.queries]
        queries = np.array([random.choice(pool.pairs_of(product)) for product in products], dtype=np.int64)
    else:
        queries = random.permutation(len(pool.product))[: rule.queries].astype(np.int64)
    lists = [_negatives(pool, int(row), rule, random) for row in queries]
    candidates = np.array([[row, *negatives] for row, (negatives, _) in zip(queries, lists, strict=True)], np.int64)
    return queries, candidates, np.array([filled for _, filled in lists], np.int64)


def _negatives(pool: _Pool, row: int, rule: SamplingRule, random: np.random.Generator) -> tuple[np.ndarray, int]:
    """Rows of other products of the row's sub-category, and how many are of other sub-categories for want of them."""
    same = pool.among(pool.category[row])
    same = same[pool.product[same] != pool.product[row]]
    if rule.by_product:
        same = _one_pair_each(pool, same, random)
    chosen = random.permutation(same)[: rule.negatives]
    missing = rule.negatives - len(chosen)
    if missing:
        chosen = np.concatenate([chosen, _fill(pool, row, chosen, missing, rule, random)])
    return chosen, missing


def _fill(
    pool: _Pool, row: int, chosen: np.ndarray, missing: int, rule: SamplingRule, random: np.random.Generator
) -> np.ndarray:
    """Rows of other sub-categories and other products than those chosen."""
    other = np.flatnonzero((pool.category != pool.category[row]) & (pool.product != pool.product[row]))
    if rule.by_product:
        other = other[~np.isin(pool.product[other], pool.product[chosen])]
        other = _one_pair_each(pool, other, random)
    return random.permutation(other)[:missing]


def _one_pair_each(pool: _Pool, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One of each product's rows, by lot."""
    shuffled = random.permutation(rows)
    return shuffled[np.unique(pool.product[shuffled], return_index=True)[1]]
