"""Concept-visual alignment: a concept's text is pulled to its visual prototypes (FashionKLIP section 3.3).

All functions work on the *unique* concepts of the batch. An element is one (pair i, concept u) with u in C_i; losses
are computed per element, with a mask, and reduced in one place (`ConceptVisualAlignmentLoss.forward`).
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from easynlp_fashionklip.config import CvaVariant
from easynlp_fashionklip.losses.concept_batch import ConceptBatch
from easynlp_fashionklip.losses.functional import excluding_log_softmax, masked_mean, soft_target_nll
from easynlp_fashionklip.losses.paper import paper_alignment


def prototype_weights(image_embeds: Tensor, batch: ConceptBatch, elements: Tensor, scale: Tensor, top_k: int) -> Tensor:
    """a_iuk: softmax of the scaled similarities of v_i to its `top_k` nearest prototypes of u; the others get 0.

    Args:
        image_embeds: (B, d).
        batch: the graph's knowledge of the batch.
        elements: int64 (E, 2), rows (i, u).
        scale: inverse temperature.
        top_k: K.

    Returns:
        (E, M) without gradient, rows summing to 1, or zeros for a concept without prototypes.
    """
    pair, concept = elements.T
    with torch.no_grad():
        similarity = image_embeds @ batch.prototype_embeds.T  # (B, Q)
        nearest = similarity[pair[:, None], batch.filled_index()[concept]]  # (E, M)
        nearest = nearest.masked_fill(~batch.prototype_mask[concept], -torch.inf)
        kept = nearest.topk(min(top_k, nearest.shape[1]), dim=1)
        chosen = torch.full_like(nearest, -torch.inf).scatter(1, kept.indices, scale * kept.values)
        return torch.nan_to_num(torch.softmax(chosen, dim=1), nan=0.0)


def prototype_to_concept_nll(logits: Tensor, batch: ConceptBatch) -> Tensor:
    """-log softmax over concepts of each concept's own prototypes, its ancestors and descendants being absent.

    Args:
        logits: (Q, U), scaled similarities.
        batch: the graph's knowledge of the batch.

    Returns:
        (U, M), 0 where masked.
    """
    identity = torch.eye(len(batch.related), dtype=torch.bool, device=logits.device)
    excluded = batch.related & ~identity  # (U, U)
    rows = logits[batch.filled_index()]  # (U, M, U)
    log_probabilities = excluding_log_softmax(rows, excluded[:, None, :].expand_as(rows))
    own = log_probabilities.diagonal(dim1=0, dim2=2).T  # (U, M)
    return -own.masked_fill(~batch.prototype_mask, 0.0)


def concept_to_prototype_nll(logits: Tensor, batch: ConceptBatch) -> Tensor:
    """-log softmax over the batch's distinct prototypes, all of u's own being positives; (Q, U) -> (U,).

    Prototypes that stand for u's ancestors or descendants, and not for u, are absent.
    """
    owned = batch.owned()
    of_relatives = (batch.related.float() @ owned.float()) > 0
    return soft_target_nll(logits.T, owned, of_relatives & ~owned)


def prototype_alignment(
    image_embeds: Tensor, concept_embeds: Tensor, batch: ConceptBatch, elements: Tensor, scale: Tensor, top_k: int
) -> Tensor:
    """Loss of each element against the prototypes nearest to its picture; (E,), 0 where u has no prototype."""
    concept = elements[:, 1]
    if len(batch.prototype_embeds) == 0:
        return scale * 0.0 * concept_embeds[concept].sum(dim=1)
    weights = prototype_weights(image_embeds, batch, elements, scale, top_k)  # (E, M)
    logits = scale * batch.prototype_embeds @ concept_embeds.T  # (Q, U)
    to_concept = (weights * prototype_to_concept_nll(logits, batch)[concept]).sum(dim=1)
    to_prototype = concept_to_prototype_nll(logits, batch)[concept]
    return (to_concept + to_prototype) / 2


def image_alignment(
    image_embeds: Tensor, concept_embeds: Tensor, batch: ConceptBatch, elements: Tensor, scale: Tensor
) -> Tensor:
    """Variant `image`: the pair's own picture takes the place of the prototypes, and learns; (E,).

    A picture's other concepts are true of it, so they are absent beside their relatives; likewise pictures whose text
    names only a relative of u.
    """
    pair, concept = elements.T
    logits = scale * image_embeds @ concept_embeds.T  # (B, U)
    excluded = batch.related[concept] | batch.membership[pair]
    excluded = excluded.scatter(1, concept[:, None], False)
    log_probabilities = excluding_log_softmax(logits[pair], excluded)  # (E, U)
    to_concept = -log_probabilities.gather(1, concept[:, None]).squeeze(1)
    mentions = batch.membership.T  # (U, B)
    mentions_relative = (batch.related.float() @ mentions.float()) > 0
    to_image = soft_target_nll(logits.T, mentions, mentions_relative & ~mentions)[concept]
    return (to_concept + to_image) / 2


class ConceptVisualAlignmentLoss(nn.Module):
    """CVA over a (global) batch; 0, not NaN, for a batch without concepts.

    Args:
        variant: `prototype` aligns concepts with their prototypes (the text encoder learns), `image` with the pair's
            own picture (both encoders learn), `both` takes the mean of the two, `paper` is the release's arithmetic.
        top_k: K, how many of a concept's prototypes, nearest to the picture, an element looks at.
    """

    def __init__(self, variant: CvaVariant = "prototype", top_k: int = 5) -> None:
        super().__init__()
        if variant not in get_args(CvaVariant) or top_k < 1:
            raise ValueError(f"variant={variant!r} is not one of {get_args(CvaVariant)} or top_k={top_k} is below 1")
        self.variant = variant
        self.top_k = top_k

    def forward(self, image_embeds: Tensor, concept_embeds: Tensor, batch: ConceptBatch, scale: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            image_embeds: (B, d), unit norm.
            concept_embeds: (U, d), unit norm, text embeddings of the batch's unique concepts.
            batch: the graph's knowledge of the batch.
            scale: inverse temperature, a scalar or (1,).

        Returns:
            scalar.
        """
        if self.variant == "paper":
            return paper_alignment(image_embeds, concept_embeds, batch, scale, self.top_k)
        losses, masks = [], []
        elements = batch.membership.nonzero()  # (E, 2)
        if self.variant in ("prototype", "both"):
            losses.append(prototype_alignment(image_embeds, concept_embeds, batch, elements, scale, self.top_k))
            masks.append(batch.prototype_mask.any(dim=1)[elements[:, 1]])
        if self.variant in ("image", "both"):
            losses.append(image_alignment(image_embeds, concept_embeds, batch, elements, scale))
            masks.append(torch.ones_like(elements[:, 1], dtype=torch.bool))
        parts = [masked_mean(loss, mask) for loss, mask in zip(losses, masks, strict=True)]
        return torch.stack(parts).mean()
