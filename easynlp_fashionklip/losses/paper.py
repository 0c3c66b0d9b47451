"""The release's CVA arithmetic, kept for ablation (EasyNLP `examples/fashionklip`, `training/train_all_concept.py`).

What differs from `cva.py`: a pair has a fixed number of concept slots compared slot by slot, and pairs naming the same
concept are each other's negatives. The nearest prototypes' similarities, divided by their norm over the batch, are the
*class* weights of a cross-entropy with the diagonal as target; a rank k counts by its share of all weights:

    L_slot = sum_k share_k (CE_k(P_k T^t; w_k) + CE_k(T P_k^t; w_k)) / 2,   share_k = sum_i w_ik / sum_ik w_ik
           = sum_ik w_ik (nll_ik + nll'_ik) / 2 / sum_ik w_ik

The two are equal, as the class-weighted CE_k divides by sum_i w_ik; the second is 0/0 only where *all* weights are 0. A
missing concept's prototypes are zero vectors, as there; so is its text, where the release encodes the empty prompt.
The other departure: a slot that no pair of the batch fills counts 0, where the release divides 0 by 0 and returns NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor

from easynlp_fashionklip.losses.concept_batch import ConceptBatch


def _slot_prototypes(batch: ConceptBatch, slot: Tensor) -> Tensor:
    """(B,) concepts of one slot -> (B, M, d) prototypes, zeros where the slot or the prototype is missing."""
    concept = slot.clamp(min=0)
    embeds = batch.prototype_embeds[batch.filled_index()[concept]]
    present = batch.prototype_mask[concept] & (slot >= 0)[:, None]
    return embeds * present[:, :, None]


def _slot_loss(image_embeds: Tensor, texts: Tensor, prototypes: Tensor, scale: Tensor, top_k: int) -> Tensor:
    """One slot: (B, d) pictures, (B, d) concept texts, (B, M, d) prototypes -> scalar."""
    with torch.no_grad():
        similarity = torch.einsum("bmd,bd->bm", prototypes, image_embeds)
        values, index = similarity.topk(min(top_k, similarity.shape[1]), dim=1)  # (B, K)
        weights = values / values.norm(dim=0, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
        total = weights.sum()
        weights = torch.where(total == 0, torch.zeros_like(weights), weights / total)
    nearest = prototypes.gather(1, index[:, :, None].expand(-1, -1, prototypes.shape[2]))  # (B, K, d)
    logits = scale * torch.einsum("bkd,cd->kbc", nearest, texts)  # (K, B, B)
    both = torch.log_softmax(logits, dim=2) + torch.log_softmax(logits, dim=1)
    nll = -both.diagonal(dim1=1, dim2=2).T  # (B, K)
    return (weights * nll).sum() / 2


def paper_alignment(
    image_embeds: Tensor, concept_embeds: Tensor, batch: ConceptBatch, scale: Tensor, top_k: int
) -> Tensor:
    """The release's concept loss over the slots of `batch.slots`; shapes as in `ConceptVisualAlignmentLoss.forward`."""
    if batch.slots is None:
        raise ValueError("variant 'paper' needs ConceptBatch.slots")
    total = (scale * concept_embeds).sum() * 0.0
    if len(concept_embeds) == 0 or len(batch.prototype_embeds) == 0 or batch.slots.numel() == 0:
        return total
    for slot in batch.slots.T:
        texts = concept_embeds[slot.clamp(min=0)] * (slot >= 0)[:, None]
        total = total + _slot_loss(image_embeds, texts, _slot_prototypes(batch, slot), scale, top_k)
    return total / batch.slots.shape[1]
