"""Product search: words in, products out, many of which may be right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from easynlp_fashionklip import metrics
from easynlp_fashionklip.data.pairs import stable_key
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.gallery import PairGallery
from easynlp_fashionklip.evaluation.measures import Measure, ProtocolRun, Query, digest
from easynlp_fashionklip.evaluation.pair_protocols import TIE_RULE
from easynlp_fashionklip.evaluation.queries import SearchQuery, relevant_products
from easynlp_fashionklip.evaluation.ranking import relevant_ranks

SEARCH = "product_search.v1"
MARQO = "marqo.category_to_product.v1"
SEARCHED = "search"
MARQO_QUERIES = 2000
IMAGE_WEIGHT, TEXT_WEIGHT = 0.9, 0.1
_HITS = (1, 5, 10)
_MEAN, _MEDIAN = Measure("mean", "percent", SEARCHED), Measure("median", "rank", SEARCHED)


def product_search(
    gallery: PairGallery,
    queries: Sequence[SearchQuery],
    query_embeds: np.ndarray,
    *,
    device: torch.device | None = None,
) -> ProtocolRun:
    """`product_search.v1`: each query searches the pictures of all products.

    Args:
        gallery: what is searched; a product is as near as its nearest picture.
        queries: with relevant products of the gallery.
        query_embeds: float (Q, d), unit vectors of the queries' texts.
        device: None takes the GPU where there is one.
    """
    product, offsets, items = relevant_products(queries, gallery.product_ids)
    ranks = relevant_ranks(query_embeds, gallery.images, offsets, items, product, device=device)
    return _run(SEARCH, gallery, queries, ranks, offsets, {"gallery": _searched(gallery, "pictures")})


def marqo_search(
    gallery: PairGallery,
    queries: Sequence[SearchQuery],
    query_embeds: np.ndarray,
    *,
    seed: int = 0,
    device: torch.device | None = None,
) -> ProtocolRun:
    """`marqo.category_to_product.v1`: product search in documents of picture (0.9) and text (0.1).

    Args:
        gallery: what is searched; a document is the normalised weighted sum of a pair's embeddings.
        queries: as `marqo_queries` gives them.
        query_embeds: float (Q, d), unit vectors of the queries' texts.
        seed: that the queries were drawn with.
        device: None takes the GPU where there is one.
    """
    documents = multi_field(gallery.images, gallery.texts)
    product, offsets, items = relevant_products(queries, gallery.product_ids)
    ranks = relevant_ranks(query_embeds, documents, offsets, items, product, device=device)
    fields = f"documents ({IMAGE_WEIGHT} picture + {TEXT_WEIGHT} text, normalised)"
    facts = {"gallery": _searched(gallery, fields), "seed": seed}
    return _run(MARQO, gallery, queries, ranks, offsets, facts)


def marqo_queries(queries: Sequence[SearchQuery], seed: int) -> list[SearchQuery]:
    """At most 2,000 of the queries, drawn by lot, in their order.

    Raises:
        InputError: there are none.
    """
    if not queries:
        raise InputError("no row has a category to search for; name another column with --category, or give --queries.")
    chosen = np.random.default_rng([seed, MARQO_QUERIES]).permutation(len(queries))[:MARQO_QUERIES]
    return [queries[number] for number in sorted(chosen.tolist())]


def multi_field(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Unit vectors of 0.9 picture + 0.1 text; float64 (N, d)."""
    mixed = IMAGE_WEIGHT * images.astype(np.float64) + TEXT_WEIGHT * texts
    return mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)


def _searched(gallery: PairGallery, what: str) -> str:
    return f"the {what} of all {len(np.unique(gallery.product_keys)):,} products"


def _run(
    protocol: str,
    gallery: PairGallery,
    queries: Sequence[SearchQuery],
    ranks: np.ndarray,
    offsets: np.ndarray,
    facts: dict[str, object],
) -> ProtocolRun:
    values = _values(protocol, ranks, offsets)
    sizes = np.diff(offsets)
    per_query: dict[str, np.ndarray] = {SEARCHED: np.arange(len(queries))}
    return ProtocolRun(
        protocol=protocol,
        facts={
            "hit_rule": "one of the products that the query names as relevant",
            **facts,
            "queries": len(queries),
            "relevant_products_a_query": {
                "least": int(sizes.min()),
                "mean": float(sizes.mean()),
                "most": int(sizes.max()),
            },
            "redraws": 0,
            "tie_rule": TIE_RULE,
            **gallery.facts(),
            "queries_digest": digest(part for query in queries for part in (query.text, *sorted(query.item_ids))),
        },
        queries=[Query(query.query_id, query.text, kind=query.kind) for query in queries],
        rows=per_query,
        clusters={SEARCHED: np.array([stable_key(query.text) for query in queries], dtype=np.int64)},
        values=values,
        measures={name: _MEDIAN if name == "medR" else _MEAN for name in values},
        primary=("mAP",) if protocol == SEARCH else ("P@10",),
    )


def _values(protocol: str, ranks: np.ndarray, offsets: np.ndarray) -> dict[str, np.ndarray]:
    first = metrics.first_ranks(ranks, offsets)
    if protocol == MARQO:
        precision = {k: metrics.precision_at_k(ranks, offsets, k) for k in (1, 10)}
        return {
            "AvgP": (precision[1] + precision[10]) / 2,
            "P@1": precision[1],
            "P@10": precision[10],
            "MRR@10": np.where(first <= 10, 1.0 / first, 0.0),
            "R@10": (first <= 10).astype(np.float64),
            "mAP": metrics.average_precision(ranks, offsets),
        }
    return {
        **{f"R@{k}": (first <= k).astype(np.float64) for k in _HITS},
        "found@10": metrics.found_at_k(ranks, offsets, 10),
        "P@10": metrics.precision_at_k(ranks, offsets, 10),
        "mAP": metrics.average_precision(ranks, offsets),
        "MRR": 1.0 / first,
        "nDCG@10": metrics.ndcg_at_k(ranks, offsets, 10),
        "medR": first.astype(np.float64),
    }
