"""FashionKLIP's release's way through a batch's concepts, written from the description of its loop, to be timed.

For each of three concept slots all texts of the batch's slot pass the text encoder, whether two pairs name the same
concept or not; the prototypes of each pair are copied a vector at a time into a tensor of the batch; the nearest five
are found pair by pair; and two class-weighted cross-entropies over the batch are taken for each of the five ranks.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.training.knowledge import ConceptKnowledge

SLOTS, PROTOTYPES, NEAREST = 3, 10, 5


class ReleaseLoop:
    """The concept loss of a batch, a slot, a pair and a vector at a time."""

    def __init__(self, model: DualEncoder, knowledge: ConceptKnowledge, bank: Tensor) -> None:
        """Args: bank: float (N, d), the embedding of every picture, which are numpy vectors in the release."""
        self.model = model
        self.prompts = knowledge.prompts()
        self.rows = knowledge.prototype_rows.tolist()
        self.vectors: list[np.ndarray] = list(bank.float().cpu().numpy())

    def loss(self, image_embeds: Tensor, concepts: list[list[int]], scale: Tensor) -> Tensor:
        """Args: image_embeds: (B, d). concepts: of each pair, most specific first. scale: inverse temperature."""
        device = image_embeds.device
        total = torch.zeros((), device=device)
        for slot in range(SLOTS):
            named = [own[slot] if slot < len(own) else -1 for own in concepts]
            tokens = self.model.processor.tokenize([self.prompts[one] if one >= 0 else "" for one in named])
            texts = self.model.encode_text(tokens["input_ids"].to(device), tokens["attention_mask"].to(device))
            total = total + self._slot(image_embeds, texts, named, scale)
        return total / SLOTS

    def _slot(self, image_embeds: Tensor, texts: Tensor, named: list[int], scale: Tensor) -> Tensor:
        batch, dim = image_embeds.shape
        device = image_embeds.device
        prototypes = torch.zeros(batch, PROTOTYPES, dim, device=device)
        for pair, concept in enumerate(named):
            for place, row in enumerate(self.rows[concept] if concept >= 0 else ()):
                if row >= 0:
                    prototypes[pair, place] = torch.tensor(self.vectors[row], device=device)
        chosen = torch.zeros(batch, NEAREST, dim, device=device)
        weights = torch.zeros(batch, NEAREST, device=device)
        for pair in range(batch):
            similarity = prototypes[pair] @ image_embeds[pair].detach().float()
            weights[pair], index = similarity.topk(NEAREST)
            chosen[pair] = prototypes[pair, index]
        weights = F.normalize(weights, dim=0).clamp(min=0)
        share = weights.sum(dim=0) / weights.sum().clamp(min=1e-6)
        target = torch.arange(batch, device=device)
        losses = []
        for rank in range(NEAREST):
            logits = scale * chosen[:, rank] @ texts.T
            both = (F.cross_entropy(one, target, weights[:, rank] + 1e-6) for one in (logits, logits.T))
            losses.append(share[rank] * torch.stack(list(both)).sum() / 2)
        return torch.stack(losses).sum()
