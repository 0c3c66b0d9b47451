"""Embeddings in, the literature's retrieval table out. Encoding lives in `inference`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from easynlp_fashionklip import metrics
from easynlp_fashionklip.evaluation.protocols import FullGallery, PairKeys

RECALL_AT = (1, 5, 10)


@dataclass(frozen=True)
class RetrievalResult:
    """Scores of both directions, in percent, and how they were taken.

    `scores` has `image_to_text_R@1 ...`, `text_to_image_R@10`, `image_to_text_MRR`, `text_to_image_MRR` and
    `mean_recall`, the mean of all R@K of both directions.
    """

    scores: dict[str, float]
    protocol: str
    hit_rule: str
    gallery_size: int
    recall_at: tuple[int, ...] = field(default=RECALL_AT)

    @property
    def mean_recall(self) -> float:
        """Mean of both directions' R@K, in percent."""
        return self.scores["mean_recall"]


def evaluate_retrieval(
    image_embeds: np.ndarray,
    text_embeds: np.ndarray,
    keys: PairKeys,
    *,
    recall_at: Sequence[int] = RECALL_AT,
    protocol: FullGallery | None = None,
) -> RetrievalResult:
    """Score picture -> text and text -> picture retrieval.

    Args:
        image_embeds: float (N, d), unit vectors.
        text_embeds: float (N, d), unit vectors; row i belongs to picture i.
        keys: which pairs are relevant to each other.
        recall_at: the K of R@K.
        protocol: what is searched; the full gallery by default.
    """
    protocol = protocol or FullGallery()
    ranks = {
        "image_to_text": protocol.ranks(image_embeds, text_embeds, keys),
        "text_to_image": protocol.ranks(text_embeds, image_embeds, keys),
    }
    scores = {
        f"{direction}_R@{k}": 100 * metrics.hit_rate(best, k) for direction, best in ranks.items() for k in recall_at
    }
    mean_recall = float(np.mean(list(scores.values())))
    for direction, best in ranks.items():
        scores[f"{direction}_MRR"] = 100 * metrics.mean_reciprocal_rank(best)
    scores["mean_recall"] = mean_recall
    return RetrievalResult(scores, protocol.name, protocol.hit_rule, len(image_embeds), tuple(recall_at))
