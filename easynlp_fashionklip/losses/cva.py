"""Concept-visual alignment: a concept's text is pulled to its visual prototypes (FashionKLIP section 3.3).

All functions work on the *unique* concepts of the batch. An element is one (pair i, concept u) with u in C_i; the loss
is the mean over elements. What elements of one concept have in common is computed once and counted as often, and what
the sum runs over (elements or concepts) is cut into tiles, so that no matrix grows with both pairs and elements.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from easynlp_fashionklip.config import CvaVariant
from easynlp_fashionklip.losses.concept_batch import ConceptBatch
from easynlp_fashionklip.losses.functional import excluding_nll, soft_target_nll
from easynlp_fashionklip.losses.paper import paper_alignment
from easynlp_fashionklip.losses.tiles import bounded, tiled_sum


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
        pictures, row = torch.unique(pair, return_inverse=True)
        prototypes, column = torch.unique(batch.filled_index()[concept], return_inverse=True)  # column (E, M)
        similarity = image_embeds[pictures] @ batch.prototype_embeds[prototypes].T
        nearest = similarity[row[:, None], column].masked_fill(~batch.prototype_mask[concept], -torch.inf)
        kept = nearest.topk(min(top_k, nearest.shape[1]), dim=1)
        chosen = torch.full_like(nearest, -torch.inf).scatter(1, kept.indices, scale * kept.values)
        return torch.nan_to_num(torch.softmax(chosen, dim=1), nan=0.0)


def prototype_to_concept_nll(
    concept_embeds: Tensor, batch: ConceptBatch, concept: Tensor, slot: Tensor, scale: Tensor
) -> Tensor:
    """-log softmax over concepts of some concepts' own prototypes, the ancestors and descendants being absent.

    Args:
        concept_embeds: (U, d).
        batch: the graph's knowledge of the batch.
        concept: int64 (R,).
        slot: int64 (R,) below M, which of the concept's prototypes.
        scale: inverse temperature.

    Returns:
        (R,).
    """
    prototypes, place = torch.unique(batch.prototype_index[concept, slot], return_inverse=True)
    logits = scale * batch.prototype_embeds[prototypes] @ concept_embeds.T
    return excluding_nll(logits.index_select(0, place), batch.related[concept], concept)


def concept_to_prototype_nll(concept_embeds: Tensor, batch: ConceptBatch, concept: Tensor, scale: Tensor) -> Tensor:
    """-log softmax over the batch's distinct prototypes, all of u's own being positives; concepts (n,) -> (n,).

    Prototypes that stand for u's ancestors or descendants, and not for u, are absent.
    """
    logits = scale * concept_embeds[concept] @ batch.prototype_embeds.T
    return soft_target_nll(logits, batch.owned(concept), batch.owned_by_relatives(concept))


def image_to_concept_nll(
    image_embeds: Tensor, concept_embeds: Tensor, batch: ConceptBatch, elements: Tensor, scale: Tensor
) -> Tensor:
    """-log softmax over concepts of elements (E, 2), in the order of their pairs; (E,).

    A picture's other concepts are true of it, so they are absent beside the relatives of u.
    """
    pair, concept = elements.T
    pictures, place = torch.unique_consecutive(pair, return_inverse=True)
    logits = scale * image_embeds.index_select(0, pictures) @ concept_embeds.T
    excluded = batch.related[concept] | batch.membership[pair]
    return excluding_nll(logits.index_select(0, place), excluded, concept)


def concept_to_image_nll(
    image_embeds: Tensor, concept_embeds: Tensor, batch: ConceptBatch, concept: Tensor, scale: Tensor
) -> Tensor:
    """-log softmax over the batch's pictures, those whose text names u being positives; concepts (n,) -> (n,).

    Pictures whose text names only an ancestor or descendant of u are absent.
    """
    logits = scale * concept_embeds[concept] @ image_embeds.T
    return soft_target_nll(logits, batch.membership.T[concept], batch.named_relatives(concept))


class ConceptVisualAlignmentLoss(nn.Module):
    """CVA over a (global) batch; 0, not NaN, for a batch without concepts.

    Args:
        variant: `prototype` aligns concepts with their prototypes (the concepts' side learns), `image` with the pair's
            own picture (both sides learn), `both` takes the mean of the two, `paper` is the release's arithmetic.
        top_k: K, how many of a concept's prototypes, nearest to the picture, an element looks at.
        chunk: rows of a similarity matrix that exist at a time; 0 for as many as are reasonable. `paper` ignores it.
    """

    def __init__(self, variant: CvaVariant = "prototype", top_k: int = 5, chunk: int = 0) -> None:
        super().__init__()
        if variant not in get_args(CvaVariant) or top_k < 1:
            raise ValueError(f"variant={variant!r} is not one of {get_args(CvaVariant)} or top_k={top_k} is below 1")
        self.variant = variant
        self.top_k = top_k
        self.chunk = chunk

    @property
    def needs_prototypes(self) -> bool:
        """Whether the loss looks at a batch's prototypes at all."""
        return self.variant != "image"

    def forward(
        self,
        image_embeds: Tensor,
        concept_embeds: Tensor,
        batch: ConceptBatch,
        scale: Tensor,
        pairs: slice | None = None,
        concepts: slice | None = None,
    ) -> Tensor:
        """Compute the loss, or a process's part of it.

        Args:
            image_embeds: (B, d), unit norm.
            concept_embeds: (U, d), unit norm, text embeddings of the batch's unique concepts.
            batch: the graph's knowledge of the batch.
            scale: inverse temperature, a scalar or (1,).
            pairs, concepts: whose part of the loss to compute, all by default. Parts of slices that are disjoint and
                together everything add up to the loss.

        Returns:
            scalar.
        """
        pairs, concepts = pairs or slice(0, len(image_embeds)), concepts or slice(0, len(concept_embeds))
        if self.variant == "paper":  # each pair's slots are compared with all others': a part is a share of the whole
            whole = paper_alignment(image_embeds, concept_embeds, batch, scale, self.top_k)
            return whole * ((pairs.stop - pairs.start) / max(1, len(image_embeds)))
        parts, embeds = [], (image_embeds, concept_embeds, scale)
        if self.variant in ("prototype", "both"):
            parts.append(self._prototype_part(batch, concepts, *embeds))
        if self.variant in ("image", "both"):
            parts.append(self._image_part(batch, pairs, concepts, *embeds))
        # Where nothing is compared the result still depends on everything: `backward` works on every process.
        nothing = 0.0 * (image_embeds.sum() + concept_embeds.sum() + scale.sum())
        return torch.stack(parts).mean() + nothing

    def _prototype_part(
        self, batch: ConceptBatch, concepts: slice, image_embeds: Tensor, concept_embeds: Tensor, scale: Tensor
    ) -> Tensor:
        """Sum over some concepts of their elements' losses against the nearest prototypes, by the number of all."""
        elements = (batch.membership & batch.prototype_mask.any(dim=1)).sum()
        if len(batch.prototype_embeds) == 0:
            return concept_embeds.new_zeros(())

        def tile_sum(rows: slice, texts: Tensor, scale: Tensor) -> Tensor:
            numbers = torch.arange(rows.start, rows.stop, device=texts.device)
            local, pair = batch.membership[:, rows].T.nonzero(as_tuple=True)
            named = torch.stack([pair, local + rows.start], dim=1)
            weights = prototype_weights(image_embeds, batch, named, scale, self.top_k)
            summed = weights.new_zeros(len(numbers), weights.shape[1]).index_add_(0, local, weights)
            row, slot = summed.nonzero(as_tuple=True)
            to_concept = prototype_to_concept_nll(texts, batch, numbers[row], slot, scale)
            to_prototype = concept_to_prototype_nll(texts, batch, numbers, scale)
            count = torch.bincount(local, minlength=len(numbers))
            return ((summed[row, slot] * to_concept).sum() + (count * to_prototype).sum()) / 2

        widest = max(batch.prototype_index.shape[1] * len(concept_embeds), len(batch.prototype_embeds))
        chunk = bounded(self.chunk and max(1, self.chunk // batch.prototype_index.shape[1]), widest)
        return tiled_sum(tile_sum, concepts, chunk, concept_embeds, scale) / elements.clamp(min=1)

    def _image_part(
        self,
        batch: ConceptBatch,
        pairs: slice,
        concepts: slice,
        image_embeds: Tensor,
        concept_embeds: Tensor,
        scale: Tensor,
    ) -> Tensor:
        """Sum of the losses against the pictures: of some pairs' elements, and of some concepts, by all elements."""
        count = batch.membership.sum(dim=0)  # (U,)
        own = batch.membership[pairs].nonzero()
        own[:, 0] += pairs.start

        def element_sum(rows: slice, images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
            return image_to_concept_nll(images, texts, batch, own[rows], scale).sum()

        def concept_sum(rows: slice, images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
            numbers = torch.arange(rows.start, rows.stop, device=texts.device)
            return (count[rows] * concept_to_image_nll(images, texts, batch, numbers, scale)).sum()

        embeds = (image_embeds, concept_embeds, scale)
        by_element = bounded(self.chunk, len(concept_embeds))
        to_concept = tiled_sum(element_sum, slice(0, len(own)), by_element, *embeds)
        to_image = tiled_sum(concept_sum, concepts, bounded(self.chunk, len(image_embeds)), *embeds)
        return (to_concept + to_image) / (2 * count.sum().clamp(min=1))
