"""Retrieval between the pictures and texts of a table: the FashionGen protocols, whole gallery and sampled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from easynlp_fashionklip.evaluation.gallery import PairGallery, codes_of
from easynlp_fashionklip.evaluation.measures import (
    Measure,
    ProtocolRun,
    digest,
    overall_mean_recall,
    rank_measures,
    values_of_ranks,
    weighted_scores,
)
from easynlp_fashionklip.evaluation.ranking import candidate_ranks, ranks_by_key
from easynlp_fashionklip.evaluation.sampling import Draws, SamplingRule, draw

FULL = "fashiongen.full.v1"
SAMPLE = "fashiongen.sample.v1"
FASHIONSAP = "fashionsap.sample.v1"
DIRECTIONS = ("image_to_text", "text_to_image")
RULES = {SAMPLE: SamplingRule(), FASHIONSAP: SamplingRule(redraws=1, by_product=True)}
TIE_RULE = "scores within 1e-9 are equal, and an irrelevant item with an equal score stands before the relevant one"


def _measures() -> dict[str, Measure]:
    each = [rank_measures(direction) for direction in DIRECTIONS]
    together = {**each[0], **each[1]}
    return {**together, "mean_recall": overall_mean_recall(together)}


def _primary(measures: dict[str, Measure]) -> tuple[str, ...]:
    return measures["mean_recall"].parts


def full_gallery(gallery: PairGallery, *, device: torch.device | None = None) -> ProtocolRun:
    """`fashiongen.full.v1`: every picture asks all texts and every text all pictures; a hit is the same product."""
    keys = gallery.product_keys
    ranks = dict(zip(DIRECTIONS, ranks_by_key(gallery.images, gallery.texts, keys, keys, device=device), strict=True))
    measures = _measures()
    facts = {
        "hit_rule": "same product id (many to many)",
        "gallery": f"all {len(gallery):,} texts of the table, or all its pictures",
        "queries": len(gallery),
        "redraws": 0,
        "tie_rule": TIE_RULE,
        **gallery.facts(),
    }
    return ProtocolRun(
        protocol=FULL,
        facts=facts,
        queries=gallery.queries(),
        rows=dict.fromkeys(DIRECTIONS, np.arange(len(gallery))),
        clusters=dict.fromkeys(DIRECTIONS, keys),
        values={k: v for name, best in ranks.items() for k, v in values_of_ranks(name, best).items()},
        measures=measures,
        primary=_primary(measures),
    )


def sampled(
    gallery: PairGallery,
    protocol: str,
    *,
    seed: int = 0,
    rule: SamplingRule | None = None,
    device: torch.device | None = None,
) -> ProtocolRun:
    """`fashiongen.sample.v1` or `fashionsap.sample.v1`: each query ranks its own counterpart among 100 others.

    Args:
        gallery: with categories.
        protocol: the name.
        seed: of the draws.
        rule: for tests; None takes the protocol's own.
        device: None takes the GPU where there is one.

    Raises:
        InputError: there are too few other products to draw from.
    """
    rule = rule or RULES[protocol]
    sides = {"image_to_text": (gallery.images, gallery.texts), "text_to_image": (gallery.texts, gallery.images)}
    draws = {name: draw(gallery, rule, (seed, number)) for number, name in enumerate(DIRECTIONS)}
    ranks = {name: _draw_ranks(*sides[name], draws[name], device) for name in DIRECTIONS}
    measures = _measures()
    run = ProtocolRun(
        protocol=protocol,
        facts=_sampling_facts(gallery, rule, draws, seed),
        queries=gallery.queries(),
        rows={name: drawn.queries.ravel() for name, drawn in draws.items()},
        clusters={name: gallery.product_keys[drawn.queries.ravel()] for name, drawn in draws.items()},
        values={k: v for name, best in ranks.items() for k, v in values_of_ranks(name, best.ravel()).items()},
        measures=measures,
        primary=_primary(measures),
        candidates={k: v for name, drawn in draws.items() for k, v in drawn.arrays(name).items()},
    )
    return _with_spread(run, rule.redraws)


def _draw_ranks(queries: np.ndarray, gallery: np.ndarray, draws: Draws, device: torch.device | None) -> np.ndarray:
    """int64 (redraws, Q)."""
    return np.stack(
        [
            candidate_ranks(queries[rows], gallery, candidates, device=device)
            for rows, candidates in zip(draws.queries, draws.candidates, strict=True)
        ]
    )


def _sampling_facts(gallery: PairGallery, rule: SamplingRule, draws: dict[str, Draws], seed: int) -> dict[str, object]:
    filled = np.concatenate([drawn.filled.ravel() for drawn in draws.values()])
    drawn_from = "products, one pair of each" if rule.by_product else "pairs"
    return {
        "hit_rule": "the query's own counterpart; no other candidate is of its product",
        "gallery": f"1 + {rule.negatives} candidates a query, the {rule.negatives} drawn from the same sub-category's "
        f"other {drawn_from}, and from other sub-categories only where it has fewer",
        "queries": int(draws["image_to_text"].queries.shape[1]),
        "negatives": rule.negatives,
        "redraws": rule.redraws,
        "seed": seed,
        "queries_filled": int((filled > 0).sum()),
        "queries_drawn": len(filled),
        "negatives_from_other_categories": int(filled.sum()),
        "candidates_with_the_same_text": _same_text(gallery, draws),
        "candidates_digest": digest(one.candidates.astype("<i8").tobytes().hex() for one in draws.values()),
        "tie_rule": TIE_RULE,
        **gallery.facts(),
    }


def _same_text(gallery: PairGallery, draws: dict[str, Draws]) -> int:
    """How many negatives have the very text of their query: no encoder can tell them from the right one."""
    code = codes_of(gallery.captions)
    return int(sum((code[one.candidates[..., 1:]] == code[one.candidates[..., :1]]).sum() for one in draws.values()))


def _with_spread(run: ProtocolRun, redraws: int) -> ProtocolRun:
    """Add the standard deviation of every measure over the redraws."""
    if redraws < 2:
        return run
    weights = {asked: np.kron(np.eye(redraws), np.ones(len(rows) // redraws)) for asked, rows in run.rows.items()}
    found = weighted_scores(run, weights)
    return replace(run, spread={name: float(np.std(values, ddof=1)) for name, values in found.items()})
