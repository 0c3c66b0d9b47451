"""What every process knows of a contrastive batch before anything is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from easynlp_fashionklip import distributed
from easynlp_fashionklip.losses import ConceptBatch

KEYS = ("rows", "product_keys", "text_keys")


@dataclass(frozen=True)
class GlobalBatch:
    """B pairs, of which this process has a contiguous share, and their U unique concepts, shared out likewise.

    Attributes:
        sizes: pairs of each process.
        rows, product_keys, text_keys: int64 (B,) on the device.
        concepts: int64 (U,) on the CPU, ascending.
        concept_sizes: concepts of each process.
        knowledge: what the graph knows of them, on the device; None without a graph.
    """

    sizes: Sequence[int]
    rows: Tensor
    product_keys: Tensor
    text_keys: Tensor
    concepts: Tensor
    concept_sizes: Sequence[int]
    knowledge: ConceptBatch | None = None

    @property
    def own_pairs(self) -> slice:
        """Where this process's pairs are."""
        return distributed.own_slice(self.sizes)

    @property
    def own_concepts(self) -> slice:
        """Where this process's concepts are."""
        return distributed.own_slice(self.concept_sizes)

    def with_concepts(self, concepts: Tensor, knowledge: ConceptBatch) -> GlobalBatch:
        """The same pairs with their concepts."""
        return replace(
            self,
            concepts=concepts,
            concept_sizes=distributed.share_sizes(len(concepts)),
            knowledge=knowledge.to(self.rows.device),
        )


def gather_batch(micro_batches: Sequence[dict[str, Any]], device: torch.device) -> GlobalBatch:
    """Exchange the keys of a contrastive batch's pairs; concepts are still to come.

    Args:
        micro_batches: this process's share, of `PairCollator`.
        device: where the result lies.
    """
    local = torch.cat([torch.stack([batch[key] for key in KEYS], dim=1) for batch in micro_batches]).to(device)
    sizes = distributed.gather_sizes(len(local))
    rows, product_keys, text_keys = distributed.gather(local, sizes).unbind(dim=1)
    nothing = torch.zeros(0, dtype=torch.int64)
    return GlobalBatch(sizes, rows, product_keys, text_keys, nothing, distributed.share_sizes(0))
