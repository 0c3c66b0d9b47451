"""Zero-shot classification: which label's prompt is a picture nearest to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.gallery import PairGallery
from easynlp_fashionklip.evaluation.measures import Measure, ProtocolRun, digest
from easynlp_fashionklip.evaluation.ranking import TIE, product_similarities

ZERO_SHOT = "zero_shot.v1"
PICTURED = "picture"
PROMPT = "a photo of a {label}"


def labels_of(gallery: PairGallery) -> list[str]:
    """The table's labels, in alphabetical order.

    Raises:
        InputError: there are fewer than two.
    """
    labels = sorted({category for category in gallery.categories if category})
    if len(labels) < 2:
        raise InputError(
            f"the table has {len(labels)} different label(s), and telling them apart takes two; name another column "
            "with --category."
        )
    return labels


def prompts_of(labels: Sequence[str], prompt: str = PROMPT) -> list[str]:
    """Each label in the prompt.

    Raises:
        InputError: the prompt has no `{label}`.
    """
    if "{label}" not in prompt:
        raise InputError(f"--prompt={prompt!r} has no place for the label; write one, like {PROMPT!r}.")
    return [prompt.replace("{label}", label) for label in labels]


def classify(
    gallery: PairGallery,
    labels: Sequence[str],
    label_embeds: np.ndarray,
    *,
    prompt: str = PROMPT,
    device: torch.device | None = None,
) -> ProtocolRun:
    """`zero_shot.v1`: accuracy, weighted and macro F1 over the pictures that have a label.

    Args:
        gallery: pictures with categories.
        labels: K different ones.
        label_embeds: float (K, d), unit vectors of their prompts.
        prompt: that the embeddings are of, to state it.
        device: None takes the GPU where there is one.
    """
    number = {label: place for place, label in enumerate(labels)}
    rows = np.array([row for row, label in enumerate(gallery.categories) if label in number], dtype=np.int64)
    truth = np.array([number[gallery.categories[row]] for row in rows], dtype=np.int64)
    predicted = _predictions(gallery.images[rows], label_embeds, truth, device)
    classes = np.stack([truth, predicted], axis=1)
    hit = (truth == predicted).astype(np.float64)
    return ProtocolRun(
        protocol=ZERO_SHOT,
        facts={
            "hit_rule": "the nearest prompt is that of the picture's own label",
            "gallery": f"{len(labels)} labels in the prompt {prompt!r}",
            "queries": len(rows),
            "pictures_without_label": len(gallery) - len(rows),
            "labels": len(labels),
            "prompt": prompt,
            "redraws": 0,
            "tie_rule": "of scores within 1e-9 of each other a wrong label wins",
            **gallery.facts(),
            "labels_digest": digest([*labels, *gallery.categories]),
        },
        queries=gallery.queries(),
        rows={PICTURED: rows},
        clusters={PICTURED: gallery.product_keys[rows]},
        values={"accuracy": hit, "weighted_F1": classes, "macro_F1": classes},
        measures={
            "weighted_F1": Measure("weighted_f1", "percent", PICTURED),
            "macro_F1": Measure("macro_f1", "percent", PICTURED),
            "accuracy": Measure("mean", "percent", PICTURED),
        },
        primary=("accuracy",),
    )


def _predictions(
    images: np.ndarray, label_embeds: np.ndarray, truth: np.ndarray, device: torch.device | None
) -> np.ndarray:
    """int64 (N,): the nearest label; where the right one ties with a wrong one, the wrong one."""
    found = []
    for first, similarity in product_similarities(images, label_embeds, device=device):
        own = torch.from_numpy(truth[first : first + len(similarity)]).to(similarity.device)[:, None]
        right = similarity.gather(1, own)
        others = similarity.scatter(1, own, -torch.inf)
        best, wrong = others.max(1)
        found.append(torch.where(best >= right[:, 0] - TIE, wrong, own[:, 0]).cpu().numpy())
    return np.concatenate(found) if found else np.zeros(0, np.int64)
