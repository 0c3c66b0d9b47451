"""The concept graph as training sees it: which concepts each row of the table has, and their current prototypes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from easynlp_fashionklip.config import Scope
from easynlp_fashionklip.graph.builder import mentioning_images
from easynlp_fashionklip.graph.prototypes import PrototypeTable, select_prototypes
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.losses.concept_batch import ConceptBatch
from easynlp_fashionklip.training.bank import EmbeddingBank

PAPER_SLOTS = 3  # concepts per text in the release (training/train_all_concept.py: B x 3 x 10 prototypes)


@dataclass(frozen=True)
class PrototypeSettings:
    """How prototypes are chosen: see `graph.prototypes.select_prototypes`."""

    num_candidates: int = 20
    num_prototypes: int = 10
    diversity: float = 0.8
    scope: Scope = "mentions"


class ConceptKnowledge:
    """A graph joined to the rows of a training table.

    Attributes:
        graph: the concept graph; concept c of this class is `graph.concepts[c]`.
        prototype_rows: int64 (C, M), rows of the table whose pictures stand for each concept; -1 for none.
    """

    def __init__(self, graph: ConceptGraph, product_keys: np.ndarray, settings: PrototypeSettings) -> None:
        self.graph = graph
        self.settings = settings
        self._offsets, concepts = graph.mention_csr(product_keys)
        offsets, images = mentioning_images(graph, self._offsets, concepts)
        # Kept for the whole run, and there are millions: 4 bytes each.
        self._concepts, self._candidates = concepts.astype(np.int32), (offsets, images.astype(np.int32))
        self.prototype_rows = torch.full((len(graph.concepts), settings.num_prototypes), -1, dtype=torch.int64)
        self.selected: PrototypeTable | None = None
        self._specificity = np.array([concept.depth for concept in graph.concepts], dtype=np.int64)

    @property
    def num_concepts(self) -> int:
        """C, the number of concepts of the graph."""
        return len(self.graph.concepts)

    def prompts(self) -> list[str]:
        """The prompt of every concept, by its number."""
        return self.graph.prompts()

    def refresh(self, prompt_embeds: Tensor, bank: EmbeddingBank) -> None:
        """Choose every concept's prototypes anew.

        Args:
            prompt_embeds: (C, d), the prompts under the current encoder.
            bank: the pictures under the current encoder.
        """
        settings = self.settings
        table = select_prototypes(
            prompt_embeds,
            bank.embeds,
            None if settings.scope == "paper" else self._candidates,
            settings.num_candidates,
            settings.num_prototypes,
            settings.diversity,
        )
        bank.release()
        rows = torch.full_like(self.prototype_rows, -1)
        rows[torch.as_tensor(table.concept), torch.as_tensor(table.rank).long()] = torch.as_tensor(table.image).long()
        self.prototype_rows, self.selected = rows, table

    def batch(self, rows: Tensor, bank: EmbeddingBank, paper_slots: bool = False) -> tuple[Tensor, ConceptBatch]:
        """What the CVA loss needs to know of a global batch.

        Args:
            rows: int64 (B,) of the table, the same on every process.
            bank: where the prototypes' embeddings are.
            paper_slots: also fill the fixed slots of variant `paper`.

        Returns:
            int64 (U,) ascending concept numbers, and the batch's knowledge of them, on the CPU.
        """
        lists = [self._concepts[self._offsets[row] : self._offsets[row + 1]] for row in rows.tolist()]
        flat = np.concatenate(lists).astype(np.int64) if lists else np.zeros(0, np.int64)
        unique, place = np.unique(flat, return_inverse=True)
        membership = torch.zeros(len(rows), len(unique), dtype=torch.bool)
        membership[np.repeat(np.arange(len(rows)), [len(found) for found in lists]), place] = True
        own_rows = self.prototype_rows[unique]  # (U, M)
        mask = own_rows >= 0
        distinct, index = torch.unique(own_rows[mask], return_inverse=True)
        prototype_index = torch.zeros_like(own_rows)
        prototype_index[mask] = index
        return torch.from_numpy(unique), ConceptBatch(
            membership=membership,
            related=torch.from_numpy(self.graph.related_mask(unique)),
            prototype_embeds=bank.get(distinct),
            prototype_index=prototype_index,
            prototype_mask=mask,
            slots=self._slots(membership, unique) if paper_slots else None,
        )

    def _slots(self, membership: Tensor, unique: np.ndarray) -> Tensor:
        """The `PAPER_SLOTS` most specific concepts of each pair, as columns of `membership`; -1 for none."""
        slots = torch.full((len(membership), PAPER_SLOTS), -1, dtype=torch.int64)
        for pair, row in enumerate(membership):
            columns = row.nonzero().flatten().numpy()
            order = np.argsort(-self._specificity[unique[columns]], kind="stable")[:PAPER_SLOTS]
            slots[pair, : len(order)] = torch.from_numpy(columns[order])
        return slots
