"""The training task: model + graph + losses -> a dictionary of losses (design section 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from easynlp_fashionklip import distributed
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.losses import (
    ConceptBatch,
    ConceptVisualAlignmentLoss,
    ImageTextContrastiveLoss,
    balance_weight,
    total_loss,
)
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.training.bank import EmbeddingBank
from easynlp_fashionklip.training.frozen_text import FrozenTextCache
from easynlp_fashionklip.training.knowledge import ConceptKnowledge

MAX_SCALE = 100.0
Batch = dict[str, Any]


class FashionKLIPTask(nn.Module):
    """ITC, and CVA where there is a graph, over the global batch.

    `forward` runs the encoders on this process's pairs and on its share of the batch's unique concepts (the part that
    DistributedDataParallel must see); `compute_loss` gathers and compares. Both follow EasyNLP's contract.
    """

    def __init__(self, model: DualEncoder, config: AppConfig, num_rows: int) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.num_rows = num_rows
        self.itc = ImageTextContrastiveLoss()
        self.cva = ConceptVisualAlignmentLoss(config.cva_variant, config.cva_prototypes)
        self.knowledge: ConceptKnowledge | None = None
        self.bank = EmbeddingBank(num_rows if config.cva else 0, model.embed_dim)
        self._caption_cache = self._cache(num_rows)
        self._concept_cache: FrozenTextCache | None = None
        self._concept_tokens: dict[str, Tensor] = {}

    def attach(self, knowledge: ConceptKnowledge) -> None:
        """Train with this graph's concepts from now on."""
        self.knowledge = knowledge
        self._concept_tokens = self.model.processor.tokenize(knowledge.prompts())
        self._concept_cache = self._cache(knowledge.num_concepts)

    def _cache(self, num_keys: int) -> FrozenTextCache | None:
        return FrozenTextCache(num_keys) if self.model.text_tower_frozen else None

    def _encode_text(self, tokens: dict[str, Tensor], keys: Tensor, cache: FrozenTextCache | None) -> Tensor:
        """Unit vectors of tokenised texts; a frozen tower's outputs come from the cache when it has them."""
        device = self.model.logit_scale.device
        if cache is None:
            return self.model.encode_text(tokens["input_ids"].to(device), tokens["attention_mask"].to(device))

        def compute(positions: Tensor) -> Tensor:
            return self.model.text_tower_output(
                tokens["input_ids"].to(device)[positions], tokens["attention_mask"].to(device)[positions]
            )

        return self.model.project_text(cache.get(keys, compute).to(device))

    def encode_concepts(self, concepts: Tensor) -> Tensor:
        """(n,) concept numbers -> (n, d) unit vectors of their prompts."""
        if len(concepts) == 0:
            return torch.zeros(0, self.model.embed_dim, device=self.model.logit_scale.device)
        mask = self._concept_tokens["attention_mask"][concepts]
        length = int(mask.sum(dim=1).max())
        ids = self._concept_tokens["input_ids"][concepts]
        if bool(mask[:, :length].sum() == mask.sum()):  # right-padded: cut the padding that no text of these needs
            ids, mask = ids[:, :length], mask[:, :length]
        return self._encode_text({"input_ids": ids, "attention_mask": mask}, concepts, self._concept_cache)

    def refresh_prototypes(self, batch_size: int = 512) -> None:
        """Re-rank all prototypes with the encoder as it is."""
        if self.knowledge is None:
            return
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            numbers = torch.arange(self.knowledge.num_concepts)
            embeds = [self.encode_concepts(part).cpu() for part in numbers.split(batch_size)]
        self.model.train(training)
        self.knowledge.refresh(torch.cat(embeds) if embeds else torch.zeros(0, self.model.embed_dim), self.bank)

    def forward(self, batch: Batch) -> Batch:
        """Encode.

        Args:
            batch: of `PairCollator`: `pixel_values` B x 3 x H x W, `input_ids` and `attention_mask` B x L, `rows`,
                `product_keys` and `text_keys` B.

        Returns:
            `image_embeds`, `text_embeds` (B x d), and with a graph `concept_embeds` (this process's share of the U
            unique concepts of the global batch x d), `concepts` (U) and `concept_batch`; and the keys handed through.
        """
        device = self.model.logit_scale.device
        outputs: Batch = {
            "image_embeds": self.model.encode_image(batch["pixel_values"].to(device, non_blocking=True)),
            "text_embeds": self._encode_text(batch, batch["rows"], self._caption_cache),
            "product_keys": distributed.gather(batch["product_keys"].to(device)),
            "text_keys": distributed.gather(batch["text_keys"].to(device)),
        }
        if self.knowledge is not None:
            rows = distributed.gather(batch["rows"].to(device)).cpu()
            concepts, known = self.knowledge.batch(rows, self.bank, self.config.cva_variant == "paper")
            outputs.update(rows=rows, concepts=concepts, concept_batch=known)
            outputs["concept_embeds"] = self.encode_concepts(_share(concepts))
        return outputs

    def compute_loss(self, outputs: Batch, label_ids: object = None) -> dict[str, Tensor]:
        """Scalars `loss`, `itc_loss`, `cva_loss`, `cva_weight` and `logit_scale` (the inverse temperature)."""
        scale = self.model.logit_scale.exp().clamp(max=MAX_SCALE)
        images = distributed.gather_with_grad(outputs["image_embeds"])
        texts = distributed.gather_with_grad(outputs["text_embeds"])
        itc = self.itc(images, texts, scale, outputs["product_keys"], outputs["text_keys"])
        cva = weight = torch.zeros_like(itc)
        if self.knowledge is not None:
            self.bank.update(outputs["rows"], images)
            cva = self._cva_loss(images, outputs, scale)
            weight = self._weight(itc, cva)
        return {
            "loss": total_loss(itc, cva, weight),
            "itc_loss": itc.detach(),
            "cva_loss": cva.detach(),
            "cva_weight": weight,
            "logit_scale": scale.detach().squeeze(),
        }

    def _weight(self, itc: Tensor, cva: Tensor) -> Tensor:
        """w: balanced or fixed, and 0 for a batch without concepts, whose ITC then counts in full."""
        if self.config.cva_weight < 0:
            return balance_weight(itc, cva, self.config.cva_weight_max)
        return torch.where(cva > 0, self.config.cva_weight, 0.0).detach()

    def _cva_loss(self, images: Tensor, outputs: Batch, scale: Tensor) -> Tensor:
        concepts = distributed.gather_with_grad(outputs["concept_embeds"])[: len(outputs["concepts"])]
        return self.cva(images, concepts, _to(outputs["concept_batch"], images.device), scale)


def _share(concepts: Tensor) -> Tensor:
    """This process's contiguous share of the unique concepts, padded so that all shares are equally long."""
    world = distributed.world_size()
    size = -(-len(concepts) // world)
    padded = torch.cat([concepts, concepts[:1].expand(size * world - len(concepts))])
    return padded[distributed.rank() * size : (distributed.rank() + 1) * size]


def _to(batch: ConceptBatch, device: torch.device) -> ConceptBatch:
    return replace(
        batch,
        membership=batch.membership.to(device),
        related=batch.related.to(device),
        prototype_embeds=batch.prototype_embeds.to(device),
        prototype_index=batch.prototype_index.to(device),
        prototype_mask=batch.prototype_mask.to(device),
        slots=None if batch.slots is None else batch.slots.to(device),
    )
