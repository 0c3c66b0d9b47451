"""The concept graph as training sees it: which concepts each row of the table has, and their current prototypes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from easynlp_fashionklip import distributed
from easynlp_fashionklip.config import Scope
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import is_visual, mentioning_images
from easynlp_fashionklip.graph.coherence import visual_coherence
from easynlp_fashionklip.graph.csr import rows_of, selected, take_rows, united
from easynlp_fashionklip.graph.prototypes import (
    DUPLICATE_SIMILARITY,
    PrototypeTable,
    first_of_each_picture,
    select_prototypes,
)
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
    duplicate_similarity: float = DUPLICATE_SIMILARITY
    min_coherence: float = -1.0  # less coherent concepts are left out; see graph/coherence.py
    hierarchy: bool = True  # ancestors and descendants of a concept are not its negatives
    refresh_tolerance: float = -1.0  # how far embeddings may move before a concept is ranked again; -1 ranks all again


class ConceptKnowledge:
    """A graph joined to the rows of a training table.

    Attributes:
        graph: the concept graph; concept c of this class is `graph.concepts[c]`.
        prototype_rows: int64 (C, M), rows of the table whose pictures stand for each concept; -1 for none.
    """

    def __init__(
        self,
        graph: ConceptGraph,
        product_keys: np.ndarray,
        settings: PrototypeSettings,
        picture_keys: np.ndarray | None = None,
        text_mentions: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Join.

        Args:
            graph: the concepts, and which products mention them.
            product_keys: int64 (N,), the rows' products, as of `PairTable`.
            settings: how prototypes are chosen.
            picture_keys: N, equal for rows with the same picture, of which one becomes a prototype.
            text_mentions: (offsets N + 1, concepts) that each row's own text names, which are true of its product, too;
                None takes those of the product.
        """
        self.graph = graph
        self.settings = settings
        self._offsets, concepts = graph.mention_csr(product_keys)
        if text_mentions is not None:
            self._offsets, concepts = united((self._offsets, concepts), text_mentions)
        offsets, images = mentioning_images(graph, self._offsets, concepts)
        if picture_keys is not None:
            pictures = np.unique(picture_keys, return_inverse=True)[1]
            if len(pictures) and pictures.max() + 1 < len(pictures):
                offsets, images = first_of_each_picture(offsets, images, pictures)
        # Kept for the whole run, and there are millions: 4 bytes each.
        self._concepts: np.ndarray = concepts.astype(np.int32)
        self._in_texts: tuple[np.ndarray, np.ndarray] | None = None
        if text_mentions is not None:
            self._in_texts = text_mentions[0], text_mentions[1].astype(np.int32)
        self._candidates: tuple[np.ndarray, np.ndarray] = (offsets, images.astype(np.int32))
        self._picture_keys = picture_keys
        self.prototype_rows = torch.full((len(graph.concepts), settings.num_prototypes), -1, dtype=torch.int64)
        self.selected: PrototypeTable | None = None
        self.refreshed_at: float | None = None  # on `time.perf_counter`
        self._prompts_then: Tensor | None = None  # C x d, as each concept was last ranked with
        self._specificity = np.array([concept.depth for concept in graph.concepts], dtype=np.int64)
        self._leave_out_the_incoherent()

    def _leave_out_the_incoherent(self) -> None:
        """Forget mentions of concepts that are not coherent enough; the graph keeps them."""
        self._visual = is_visual(self.graph, self.settings.min_coherence)
        if not self._visual.all():
            self._offsets, self._concepts = selected((self._offsets, self._concepts), self._visual)
            if self._in_texts is not None:
                self._in_texts = selected(self._in_texts, self._visual)

    @property
    def mentioned(self) -> np.ndarray:
        """(C,) bool: concepts that a text mentions, itself or through a descendant."""
        found: np.ndarray = np.diff(self._candidates[0]) > 0
        return found

    @property
    def occurs(self) -> np.ndarray:
        """(C,) bool: those of the mentioned concepts that training uses."""
        found: np.ndarray = self.mentioned & self._visual
        return found

    def measure_coherence(self, bank: EmbeddingBank) -> None:
        """Find out which concepts pictures show, and use `min_coherence` from now on; see `graph.coherence`.

        What the graph knows already stays. Nothing is done where no threshold asks for it.
        """
        known = self.graph.tables.coherence
        if self.settings.min_coherence > -1 and (known is None or np.isnan(known).any()):
            found = visual_coherence(bank.embeds, *self._candidates)
            bank.release()
            self.graph = self.graph.with_coherence(found if known is None else np.where(np.isnan(known), found, known))
            self._leave_out_the_incoherent()

    @property
    def num_concepts(self) -> int:
        """C, the number of concepts of the graph."""
        return len(self.graph.concepts)

    @property
    def concepts_per_row(self) -> float:
        """How many concepts a row of the table has on average."""
        return len(self._concepts) / max(1, len(self._offsets) - 1)

    def prompts(self) -> list[str]:
        """The prompt of every concept, by its number."""
        return self.graph.prompts()

    def state_dict(self) -> dict[str, Any]:
        """What a resume point needs beside the graph's folder: prototypes, and what decides which are ranked next."""
        chosen = self.selected
        coherence = self.graph.tables.coherence
        return {
            "concepts": self._fingerprint(),
            "coherence": None if coherence is None else torch.from_numpy(coherence),
            "selected": None
            if chosen is None
            else {f.name: torch.from_numpy(getattr(chosen, f.name)) for f in fields(PrototypeTable)},
            "prompts_then": self._prompts_then,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            InputError: it is of another graph, or of other prototype settings.
        """
        chosen = state["selected"]
        most = int(chosen["rank"].max()) if chosen and len(chosen["rank"]) else 0
        if state["concepts"] != self._fingerprint() or most >= self._slots_each:
            raise InputError(
                "--resume_from_checkpoint was saved with another concept graph; give the graph_dir and the graph "
                "settings that the run was started with."
            )
        if state["coherence"] is not None and self.graph.tables.coherence is None:
            self.graph = self.graph.with_coherence(state["coherence"].numpy())
            self._leave_out_the_incoherent()
        self._prompts_then = state["prompts_then"]
        self._adopt(None if chosen is None else PrototypeTable(**{name: v.numpy() for name, v in chosen.items()}))

    def _fingerprint(self) -> str:
        """Equal for graphs with the same concepts under the same numbers."""
        return hashlib.sha256("\n".join(self.graph.tables.concepts.phrases).encode()).hexdigest()

    @property
    def _slots_each(self) -> int:
        """M, the most prototypes of a concept."""
        return self.prototype_rows.shape[1]

    def _adopt(self, table: PrototypeTable | None) -> None:
        """Train with these prototypes from now on."""
        rows = torch.full_like(self.prototype_rows, -1)
        if table is not None:
            places = (torch.from_numpy(table.concept), torch.from_numpy(table.rank).long())
            rows[places] = torch.from_numpy(table.image).long()
        self.prototype_rows, self.selected = rows, table

    def refresh(self, prompt_embeds: Tensor, bank: EmbeddingBank) -> int:
        """Choose prototypes anew: of every concept that occurs, or with a `refresh_tolerance` of those that have moved.

        With a tolerance of 0 the outcome is that of choosing all. Each process ranks a share of the concepts; every
        process must call it, with the same values.

        Args:
            prompt_embeds: (C, d), the prompts under the current encoder; those of concepts that do not occur are not
                looked at.
            bank: the pictures under the current encoder.

        Returns:
            How many concepts were ranked.
        """
        stale = np.flatnonzero(self._stale(prompt_embeds, bank) & self.occurs)
        own = stale[self._own_share(stale)]
        table = _joined(distributed.gather_objects(self._select(prompt_embeds, bank, own)))
        bank.release()
        if self.selected is not None:
            table = _merged(self.selected, table, stale, self.num_concepts)
        self._adopt(table)
        return len(stale)

    def _own_share(self, concepts: np.ndarray) -> slice:
        """This process's contiguous share of some concepts, by the candidates that there are to compare."""
        world, rank = distributed.world_size(), distributed.rank()
        offsets = self._candidates[0]
        work = np.cumsum(offsets[concepts + 1] - offsets[concepts] + self.settings.num_candidates)
        goals = (work[-1] if len(work) else 0) * np.arange(1, world) / world
        ends = [0, *np.searchsorted(work, goals).tolist(), len(concepts)]
        return slice(ends[rank], ends[rank + 1])

    def _select(self, prompt_embeds: Tensor, bank: EmbeddingBank, concepts: np.ndarray) -> PrototypeTable:
        settings = self.settings
        every = len(concepts) == self.num_concepts
        candidates = None
        if settings.scope != "paper":
            candidates = self._candidates if every else take_rows(*self._candidates, concepts)
        table = select_prototypes(
            prompt_embeds if every else prompt_embeds[torch.from_numpy(concepts)],
            bank.embeds,
            candidates,
            settings.num_candidates,
            settings.num_prototypes,
            settings.diversity,
            settings.duplicate_similarity,
            self._picture_keys if settings.scope == "paper" else None,  # the candidates of `mentions` have no copies
        )
        table.concept[:] = concepts[table.concept]
        return table

    def _stale(self, prompt_embeds: Tensor, bank: EmbeddingBank) -> np.ndarray:
        """(C,) bool: concepts whose prompt, or one of whose candidates, has moved further than the tolerance.

        Pictures that have are then counted from here again: every concept that they may stand for is ranked anew.
        """
        tolerance, everything = self.settings.refresh_tolerance, np.ones(self.num_concepts, dtype=np.bool_)
        if tolerance < 0:
            return everything
        if bank.drift is None:
            bank.track_drift()
        assert bank.drift is not None
        moved = (bank.drift > tolerance).numpy()
        bank.drift[torch.from_numpy(moved)] = 0.0
        if self._prompts_then is None or self.selected is None:
            self._prompts_then = prompt_embeds.clone()
            return everything
        apart = (prompt_embeds - self._prompts_then).norm(dim=1) > tolerance
        if tolerance == 0:
            apart = (prompt_embeds != self._prompts_then).any(dim=1)
        stale = apart.numpy() | self._with_candidate(moved)
        self._prompts_then[torch.from_numpy(stale)] = prompt_embeds[torch.from_numpy(stale)]
        return stale

    def _with_candidate(self, images: np.ndarray) -> np.ndarray:
        """(C,) bool: concepts that one of these pictures (N, bool) may stand for."""
        if self.settings.scope == "paper":
            return np.full(self.num_concepts, images.any())
        offsets, values = self._candidates
        before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(images[values], dtype=np.int64)])
        return before[offsets[1:]] > before[offsets[:-1]]

    def batch(
        self, rows: Tensor, bank: EmbeddingBank, paper_slots: bool = False, prototypes: bool = True
    ) -> tuple[Tensor, ConceptBatch]:
        """What the CVA loss needs to know of a global batch.

        Args:
            rows: int64 (B,) of the table, the same on every process.
            bank: where the prototypes' embeddings are.
            paper_slots: also fill the fixed slots of variant `paper`.
            prototypes: False leaves out all prototypes, for a loss that does not look at them.

        Returns:
            int64 (U,) ascending concept numbers, and the batch's knowledge of them, on the CPU.
        """
        offsets, values = take_rows(self._offsets, self._concepts, rows.numpy())
        unique, place = np.unique(values.astype(np.int64), return_inverse=True)
        pair, in_text = rows_of(offsets), None
        membership = _marked(len(rows), len(unique), pair, place)
        if self._in_texts is not None:
            own, named = take_rows(*self._in_texts, rows.numpy())
            in_text = _marked(len(rows), len(unique), rows_of(own), np.searchsorted(unique, named))
        own_rows = self.prototype_rows[unique] if prototypes else torch.full((len(unique), 0), -1)  # (U, M)
        mask = own_rows >= 0
        distinct, index = torch.unique(own_rows[mask], return_inverse=True)
        prototype_index = torch.zeros_like(own_rows)
        prototype_index[mask] = index
        return torch.from_numpy(unique), ConceptBatch(
            membership=membership,
            related=self._related(unique),
            prototype_embeds=bank.get(distinct),
            prototype_index=prototype_index,
            prototype_mask=mask,
            slots=self._slots(offsets, pair, place, unique) if paper_slots else None,
            in_text=in_text,
        )

    def _related(self, concepts: np.ndarray) -> Tensor:
        """bool (U, U): which of U concepts are never negatives of one another."""
        if not self.settings.hierarchy:
            return torch.eye(len(concepts), dtype=torch.bool)
        return torch.from_numpy(self.graph.related_mask(concepts))

    def _slots(self, offsets: np.ndarray, pair: np.ndarray, place: np.ndarray, unique: np.ndarray) -> Tensor:
        """The `PAPER_SLOTS` most specific concepts of each pair, as columns of `membership`; -1 for none."""
        order = np.lexsort((place, -self._specificity[unique[place]], pair))  # within a pair: deepest first
        rank = np.arange(len(pair)) - offsets[pair]
        kept = rank < PAPER_SLOTS
        slots = torch.full((len(offsets) - 1, PAPER_SLOTS), -1, dtype=torch.int64)
        slots[pair[kept], rank[kept]] = torch.from_numpy(place[order][kept])
        return slots


def _marked(rows: int, columns: int, row: np.ndarray, column: np.ndarray) -> Tensor:
    """Bool (rows, columns), true at these places."""
    marked = torch.zeros(rows, columns, dtype=torch.bool)
    marked[row, column] = True
    return marked


def _joined(parts: list[PrototypeTable]) -> PrototypeTable:
    """Tables of ascending concepts, one below the other."""
    columns = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(PrototypeTable)}
    return PrototypeTable(**columns)


def _merged(old: PrototypeTable, new: PrototypeTable, concepts: np.ndarray, total: int) -> PrototypeTable:
    """The new prototypes of some of the concepts, the old ones of the others."""
    replaced = np.zeros(total, dtype=np.bool_)
    replaced[concepts] = True
    kept = ~replaced[old.concept]
    columns = (
        np.concatenate([getattr(old, name)[kept], getattr(new, name)])
        for name in ("concept", "rank", "image", "similarity")
    )
    concept, rank, image, similarity = columns
    order = np.lexsort((rank, concept))
    return PrototypeTable(concept[order], rank[order], image[order], similarity[order])
