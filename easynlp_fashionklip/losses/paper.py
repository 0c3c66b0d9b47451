"""The release's CVA arithmetic, kept for ablation (EasyNLP `examples/fashionklip`, `training/train_all_concept.py`).

What differs from `cva.py`: a pair has a fixed number of concept slots compared slot by slot, the nearest prototypes'
similarities are normalised over the batch and used as *class* weights of a cross-entropy with the diagonal as target, so
pairs naming the same concept are each other's negatives. A missing concept is a zero vector there too. The one departure:
a slot that no pair of the batch fills counts 0, where the release divides 0 by 0 and returns NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from easynlp_fashionklip.losses.cva import ConceptBatch


def _slot_prototypes(batch: ConceptBatch, slot: Tensor) -> Tensor:
    """(B,) concepts of one slot -> (B, M, d) prototypes, zeros where the slot or the prototype is missing."""
    concept = slot.clamp(min=0)
    embeds = batch.prototype_embeds[batch.prototype_index[concept]]
    present = batch.prototype_mask[concept] & (slot >= 0)[:, None]
    return embeds * present[:, :, None]


def _slot_loss(image_embeds: Tensor, texts: Tensor, prototypes: Tensor, scale: Tensor, top_k: int) -> Tensor:
    """One slot: (B, d) pictures, (B, d) concept texts, (B, M, d) prototypes -> scalar."""
    with torch.no_grad():
        similarity = torch.einsum("bmd,bd->bm", prototypes, image_embeds)
        values, index = similarity.topk(min(top_k, similarity.shape[1]), dim=1)  # (B, K)
        weights = values / values.norm(dim=0, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
        share = weights.sum(dim=0) / weights.sum()
    if not torch.isfinite(share).all():
        return texts.sum() * 0.0
    diagonal = torch.arange(len(texts), device=texts.device)
    loss = texts.sum() * 0.0
    for k in range(index.shape[1]):
        nearest = prototypes[diagonal, index[:, k]]  # (B, d)
        logits = scale * nearest @ texts.T
        both = F.cross_entropy(logits, diagonal, weights[:, k]) + F.cross_entropy(logits.T, diagonal, weights[:, k])
        loss = loss + share[k] * both / 2
    return loss


def paper_alignment(image_embeds: Tensor, concept_embeds: Tensor, batch: ConceptBatch, scale: Tensor, top_k: int) -> Tensor:
    """The release's concept loss over the slots of `batch.slots`; shapes as in `ConceptVisualAlignmentLoss.forward`."""
    if batch.slots is None:
        raise ValueError("variant 'paper' needs ConceptBatch.slots")
    total = concept_embeds.sum() * 0.0
    if len(concept_embeds) == 0 or len(batch.prototype_embeds) == 0:
        return total
    for slot in batch.slots.T:
        texts = concept_embeds[slot.clamp(min=0)] * (slot >= 0)[:, None]
        total = total + _slot_loss(image_embeds, texts, _slot_prototypes(batch, slot), scale, top_k)
    return total / batch.slots.shape[1]
