"""The queries that went worst, with what came up instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from easynlp_fashionklip.evaluation.gallery import PairGallery
from easynlp_fashionklip.evaluation.measures import ProtocolRun
from easynlp_fashionklip.evaluation.pair_protocols import DIRECTIONS
from easynlp_fashionklip.evaluation.queries import SearchQuery
from easynlp_fashionklip.evaluation.ranking import nearest
from easynlp_fashionklip.evaluation.search_protocols import SEARCHED
from easynlp_fashionklip.evaluation.zero_shot import PICTURED

WORST = 8
SHOWN = 5


@dataclass(frozen=True)
class Retrieved:
    """One thing that came up: the pair whose picture shows it (None for a label), its words, whether it is right."""

    row: int | None
    text: str
    hit: bool
    similarity: float


@dataclass(frozen=True)
class WorstQuery:
    """A query that went badly.

    `row` is the pair whose picture asks (None for words), `outcome` says how badly in a few words, `wanted` is a row
    that would have been right (None where there is no one).
    """

    asked: str
    text: str
    row: int | None
    outcome: str
    wanted: int | None
    retrieved: Sequence[Retrieved]


def worst_pairs(
    run: ProtocolRun, gallery: PairGallery, *, count: int = WORST, device: torch.device | None = None
) -> list[WorstQuery]:
    """Of each direction of a pair protocol, the queries whose right item ranks last, one of a product."""
    found: list[WorstQuery] = []
    for direction in DIRECTIONS:
        from_image = direction == "image_to_text"
        asking, answering = (gallery.images, gallery.texts) if from_image else (gallery.texts, gallery.images)
        ranks = run.values[f"{direction}_medR"]
        for place in _worst_of(-ranks, gallery.product_keys[run.rows[direction]], count):
            row = int(run.rows[direction][place])
            among = _candidates(run, direction, place, len(gallery))
            near, similarity = nearest(asking[row : row + 1], answering[among], SHOWN, device=device)
            retrieved = [
                Retrieved(
                    int(one),
                    gallery.captions[one],
                    bool(gallery.product_keys[one] == gallery.product_keys[row]),
                    float(s),
                )
                for one, s in zip(among[near[0]].tolist(), similarity[0].tolist(), strict=True)
            ]
            outcome = f"right one at rank {int(ranks[place]):,} of {len(among):,}"
            text = gallery.captions[row]
            found.append(WorstQuery(direction, text, row if from_image else None, outcome, row, retrieved))
    return found


def _candidates(run: ProtocolRun, direction: str, place: int, size: int) -> np.ndarray:
    """Gallery rows that a query searched: all, or those that were drawn for it."""
    drawn = run.candidates.get(f"{direction}_candidates")
    return np.arange(size) if drawn is None else drawn.reshape(-1, drawn.shape[-1])[place].astype(np.int64)


def _worst_of(scores: np.ndarray, groups: Iterable[int], count: int) -> list[int]:
    """Positions of the lowest scores, one of a group; of equals, the first."""
    keys, seen, found = list(groups), set(), []
    for place in np.argsort(scores, kind="stable").tolist():
        if keys[place] not in seen:
            seen.add(keys[place])
            found.append(place)
        if len(found) == count:
            break
    return found


def worst_searches(
    run: ProtocolRun,
    gallery: PairGallery,
    queries: Sequence[SearchQuery],
    query_embeds: np.ndarray,
    documents: np.ndarray,
    *,
    count: int = WORST,
    device: torch.device | None = None,
) -> list[WorstQuery]:
    """The search queries with the lowest own score."""
    scores = run.own_scores()[0]
    found = []
    first_row = {product: row for row, product in reversed(list(enumerate(gallery.product_ids)))}
    for place in _worst_of(scores, range(len(queries)), count):
        query = queries[place]
        near, similarity = nearest(query_embeds[place : place + 1], documents, SHOWN, device=device)
        retrieved = [
            Retrieved(int(row), gallery.captions[row], gallery.product_ids[row] in query.item_ids, float(s))
            for row, s in zip(near[0].tolist(), similarity[0].tolist(), strict=True)
        ]
        outcome = f"{' and '.join(run.primary)} {scores[place]:.1f} %; {len(query.item_ids):,} products answer it"
        found.append(WorstQuery(SEARCHED, query.text, None, outcome, first_row[query.item_ids[0]], retrieved))
    return found


def worst_pictures(
    run: ProtocolRun,
    gallery: PairGallery,
    labels: Sequence[str],
    label_embeds: np.ndarray,
    *,
    count: int = WORST,
    device: torch.device | None = None,
) -> list[WorstQuery]:
    """Pictures whose own label's prompt is furthest behind the nearest one's, one of a label."""
    rows, classes = run.rows[PICTURED], run.values["weighted_F1"]
    similarity = gallery.images[rows] @ label_embeds.T
    lead = similarity[np.arange(len(rows)), classes[:, 0]] - similarity.max(axis=1, initial=-np.inf)
    found = []
    for place in _worst_of(lead, classes[:, 0].tolist(), count):
        row = int(rows[place])
        near, scores = nearest(gallery.images[row : row + 1], label_embeds, SHOWN, device=device)
        retrieved = [
            Retrieved(None, labels[n], n == classes[place, 0], float(s))
            for n, s in zip(near[0].tolist(), scores[0].tolist(), strict=True)
        ]
        outcome = f"labelled {labels[classes[place, 0]]}"
        found.append(WorstQuery(PICTURED, gallery.captions[row], row, outcome, None, retrieved))
    return found
