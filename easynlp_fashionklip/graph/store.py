"""`ConceptGraph`: FashionMMKG in memory, with look-ups for people and for training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from easynlp_fashionklip.data.pairs import stable_key
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.csr import offsets_of, take_rows
from easynlp_fashionklip.graph.format import read_graph, write_graph
from easynlp_fashionklip.graph.hierarchy import closure_csr
from easynlp_fashionklip.graph.matching import match_phrases
from easynlp_fashionklip.graph.mining import mine, phrases_of_title
from easynlp_fashionklip.graph.normalise import tokenise, unify_spelling
from easynlp_fashionklip.graph.pipeline import load_spacy
from easynlp_fashionklip.graph.prototypes import PROMPT, PrototypeTable
from easynlp_fashionklip.graph.tables import (
    GraphInfo,
    GraphTables,
    Pictures,
    PrototypeColumns,
    all_mentions,
    assemble,
    mentions_of_texts,
    merge,
)
from easynlp_fashionklip.records import Concept, Prototype

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spacy.language import Language

    from easynlp_fashionklip.graph.engines import Engine
    from easynlp_fashionklip.graph.mining import Progress


class ConceptGraph:
    """Concepts with is-a, mentions and prototypes; never changed, growing gives a new graph.

    A concept's id is its position in `concepts`. Every method that takes an id raises IndexError for an unknown one.
    """

    def __init__(self, tables: GraphTables, nlp: Language | None = None, origin: str = "memory") -> None:
        """Wrap the columns; `nlp` is used by `match`, `origin` names the graph in messages."""
        self.tables = tables
        self.origin = origin
        self._nlp = nlp

    # ---- disk

    @classmethod
    def load(cls, directory: str | Path) -> ConceptGraph:
        """Read a graph; InputError names the faulty file and the remedy."""
        return cls(read_graph(directory), origin=str(directory))

    def save(self, directory: str | Path) -> None:
        """Write the graph; an interrupted save leaves what was there before."""
        write_graph(self.tables, directory)

    # ---- concepts and is-a

    @property
    def info(self) -> GraphInfo:
        """How the graph was made."""
        return self.tables.info

    def __len__(self) -> int:
        """Number of concepts."""
        return len(self.tables.concepts)

    @cached_property
    def concepts(self) -> tuple[Concept, ...]:
        """All concepts; the position is the id."""
        table, depth, frequency = self.tables.concepts, self.tables.hierarchy.depth, self.tables.frequency
        rows = zip(table.phrases, table.surfaces, table.heads, depth.tolist(), frequency.tolist(), strict=True)
        return tuple(Concept(concept_id, *row) for concept_id, row in enumerate(rows))

    def parents(self, concept_id: int) -> list[int]:
        """Ids of the nearest more general concepts, ascending."""
        return self._row(self._parents, concept_id)

    def children(self, concept_id: int) -> list[int]:
        """Ids of the nearest more special concepts, ascending."""
        return self._row(self._children, concept_id)

    def primary_parent(self, concept_id: int) -> int | None:
        """The one parent that makes the graph a tree; None for a root."""
        parent = int(self._primary[range(len(self))[concept_id]])
        return None if parent < 0 else parent

    def ancestors(self, concept_id: int) -> list[int]:
        """Ids of all more general concepts, ascending, without the concept itself."""
        return self._row(self.ancestor_csr, concept_id)

    def descendants(self, concept_id: int) -> list[int]:
        """Ids of all more special concepts, ascending, without the concept itself."""
        return self._row(self._descendants, concept_id)

    def find(self, phrase: str) -> Concept | None:
        """The concept that a phrase names, in any spelling (`Tee-Shirts`); None if there is none."""
        direct = self._id_of.get(phrase.strip().lower())
        if direct is None:
            named = phrases_of_title(tokenise(unify_spelling(phrase.strip())))
            finest = max(named, key=lambda one: len(one.phrase.split()), default=None)
            direct = self._id_of.get(finest.phrase) if finest else None
        if direct is None:
            direct = self._id_of_surface.get(phrase.strip().lower())
        return None if direct is None else self.concepts[direct]

    def related_mask(self, ids: NDArray[np.int64] | Sequence[int]) -> NDArray[np.bool_]:
        """U x U bool for U concept ids: True where one is the other, its ancestor or its descendant."""
        distinct, inverse = np.unique(np.asarray(ids, dtype=np.int64), return_inverse=True)
        column = np.full(len(self), -1, dtype=np.int64)
        column[distinct] = np.arange(len(distinct))
        offsets, above = take_rows(*self.ancestor_csr, distinct)
        row = np.repeat(np.arange(len(distinct)), np.diff(offsets))
        present = column[above] >= 0
        mask = np.eye(len(distinct), dtype=np.bool_)
        mask[row[present], column[above[present]]] = True
        mask |= mask.T
        return mask[np.ix_(inverse, inverse)]

    def coherence(self, concept_id: int) -> float | None:
        """How far a concept can be told from pictures (graph/coherence.py); None where that is unknown."""
        known = self.tables.coherence
        value = np.nan if known is None else float(known[range(len(self))[concept_id]])
        return None if np.isnan(value) else value

    def with_coherence(self, coherence: NDArray[np.float32]) -> ConceptGraph:
        """This graph with other coherences: one for each concept, nan where unknown."""
        if len(coherence) != len(self):
            raise ValueError(f"{len(coherence)} coherences come for {len(self)} concepts.")
        return ConceptGraph(replace(self.tables, coherence=coherence), self._nlp, self.origin)

    # ---- mentions

    def match(self, text: str, nlp: Language | None = None) -> list[int]:
        """Ids of the known concepts that a text mentions, ascending; parses with `nlp` or the graph's own pipeline."""
        return self.match_many([text], nlp)[1].tolist()

    def match_many(
        self, texts: Iterable[str], nlp: Language | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(offsets N + 1, concept ids) for N texts; see `match`."""
        return match_phrases(texts, self._id_of, nlp or self._pipeline())

    def mention_csr(self, product_keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(offsets N + 1, concept ids ascending) for N `PairTable.product_keys`; unknown products are empty."""
        keys, rows = self._product_keys
        wanted = np.asarray(product_keys, dtype=np.int64)
        if not len(keys):
            return np.zeros(len(wanted) + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = np.where(keys[place] == wanted, rows[place], -1)
        return take_rows(self.tables.mention_offsets, self.tables.mention_concepts, found)

    def mentions_of(self, product_ids: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`mention_csr` by product id."""
        return self.mention_csr(np.array([stable_key(one) for one in product_ids], dtype=np.int64))

    # ---- prototypes

    def prototypes(self, concept_id: int) -> list[Prototype]:
        """Prototypes of a concept by rank; empty where none have been selected."""
        concept_id = range(len(self))[concept_id]
        columns, offsets = self.tables.prototypes, self._prototype_offsets
        return [
            Prototype(concept_id, int(columns.rank[i]), columns.image_ids[i], float(columns.similarity[i]))
            for i in range(offsets[concept_id], offsets[concept_id + 1])
        ]

    def prototype_images(self) -> tuple[NDArray[np.int64], list[str]]:
        """(offsets U + 1, image ids): the prototypes of concept c by rank are `ids[offsets[c]:offsets[c + 1]]`."""
        return self._prototype_offsets, list(self.tables.prototypes.image_ids)

    def prompts(self, concept_ids: Sequence[int] | None = None) -> list[str]:
        """The prompt of each concept (of all by default), from its commonest spelling."""
        ids = range(len(self)) if concept_ids is None else concept_ids
        return [PROMPT.format(surface=self.tables.concepts.surfaces[i]) for i in ids]

    def with_prototypes(
        self,
        table: PrototypeTable,
        image_ids: Sequence[str] | Mapping[int, str],
        *,
        encoder: str = "",
        embedding_dim: int = 0,
        scope: str = "",
        concept_ids: Sequence[int] | None = None,
    ) -> ConceptGraph:
        """This graph with other prototypes.

        `table.image` indexes `image_ids`; `table.concept` indexes `concept_ids`, whose prototypes alone are then
        replaced, or is the concept id itself. Replacing all drops the picture embeddings: see `with_pictures`.
        """
        old = self.tables.prototypes
        chosen = np.arange(len(self)) if concept_ids is None else np.asarray(concept_ids, dtype=np.int64)
        kept = np.flatnonzero(~np.isin(old.concept, chosen))
        concept = np.concatenate([old.concept[kept], chosen[table.concept]])
        rank = np.concatenate([old.rank[kept], table.rank])
        names = [old.image_ids[i] for i in kept.tolist()] + [image_ids[i] for i in table.image.tolist()]
        order = np.lexsort((rank, concept))
        columns = PrototypeColumns(
            concept[order],
            rank[order],
            [names[i] for i in order.tolist()],
            np.concatenate([old.similarity[kept], table.similarity])[order],
        )
        info = replace(self.info, encoder=encoder, embedding_dim=embedding_dim, prompt=PROMPT, prototype_scope=scope)
        tables = replace(self.tables, prototypes=columns, info=info)
        if concept_ids is None:  # another encoder's, as far as is known here
            tables = replace(tables, pictures=None, info=info.without_selection())
        return ConceptGraph(tables, self._nlp, self.origin)

    def with_pictures(self, pictures: Pictures, **selection: str | float) -> ConceptGraph:
        """This graph with the pictures its prototypes were chosen from, and how: it can then grow without them.

        `selection` sets fields of `GraphInfo`: those of `tables.SELECTION_FIELDS`.
        """
        info = replace(self.info, **selection)  # type: ignore[arg-type]
        return ConceptGraph(replace(self.tables, pictures=pictures, info=info), self._nlp, self.origin)

    def check_encoder(self, embedding_dim: int, name: str = "") -> None:
        """InputError if the prototypes were selected by an encoder of another dimension."""
        built = self.info.embedding_dim
        if built and built != embedding_dim:
            by = f" ({self.info.encoder})" if self.info.encoder else ""
            model = f"this model ({name})" if name else "this model"
            raise InputError(
                f"The graph in {self.origin} was built with an encoder of dimension {built}{by}, {model} has "
                f"{embedding_dim}; rebuild it with 'fashionklip graph build' or give another graph_dir."
            )

    # ---- growth

    def expand(
        self,
        texts: Iterable[str],
        product_ids: Sequence[str],
        nlp: Language | None = None,
        progress: Progress | None = None,
        engine: Engine | None = None,
    ) -> ConceptGraph:
        """A graph that also knows these texts: new concepts under their parents, every existing id and prototype kept.

        The same concepts, is-a edges and mentions as building from all texts at once; new concepts have no prototypes
        until some are selected (`graph.growth` does). InputError if the numbers of texts and product ids differ.
        `engine` mines in place of `nlp` in this process.
        """
        mined = mine(texts, nlp or self._pipeline(), progress) if engine is None else engine.mine(texts, progress)
        if len(mined) != len(product_ids):
            raise InputError(f"{len(mined)} texts come with {len(product_ids)} product ids; give one id for each text.")
        mentions = merge(all_mentions(self.tables), mentions_of_texts(mined, product_ids))
        grown = assemble(mentions, self.info, first=len(self))
        kept = replace(grown, prototypes=self.tables.prototypes, pictures=self.tables.pictures)
        if self.tables.coherence is not None:
            unknown = np.full(len(grown.concepts) - len(self), np.nan, dtype=np.float32)
            kept = replace(kept, coherence=np.concatenate([self.tables.coherence, unknown]))
        return ConceptGraph(kept, nlp or self._nlp, self.origin)

    # ---- derived tables

    def _pipeline(self) -> Language:
        if self._nlp is None:
            self._nlp = load_spacy(self.info.spacy_pipeline.partition(" ")[0])
        return self._nlp

    def _row(self, table: tuple[NDArray[np.int64], NDArray[np.int64]], concept_id: int) -> list[int]:
        row = range(len(self))[concept_id]
        offsets, values = table
        return values[offsets[row] : offsets[row + 1]].tolist()

    def _grouped(self, by: NDArray[np.int64], value: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return offsets_of(np.bincount(by, minlength=len(self))), value[np.lexsort((value, by))]

    @cached_property
    def _parents(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self._grouped(self.tables.hierarchy.child, self.tables.hierarchy.parent)

    @cached_property
    def _children(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self._grouped(self.tables.hierarchy.parent, self.tables.hierarchy.child)

    @cached_property
    def _primary(self) -> NDArray[np.int64]:
        primary = np.full(len(self), -1, dtype=np.int64)
        is_a = self.tables.hierarchy
        primary[is_a.child[is_a.primary]] = is_a.parent[is_a.primary]
        return primary

    @cached_property
    def ancestor_csr(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(offsets U + 1, ids): all ancestors of every concept."""
        return closure_csr(self.tables.hierarchy.child, self.tables.hierarchy.parent, len(self))

    @cached_property
    def _descendants(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        offsets, above = self.ancestor_csr
        return self._grouped(above, np.repeat(np.arange(len(self)), np.diff(offsets)))

    @cached_property
    def _prototype_offsets(self) -> NDArray[np.int64]:
        return offsets_of(np.bincount(self.tables.prototypes.concept, minlength=len(self)))

    @cached_property
    def _product_keys(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        keys = np.array([stable_key(product_id) for product_id in self.tables.product_ids], dtype=np.int64)
        order = np.argsort(keys, kind="stable")
        return keys[order], order

    @cached_property
    def _id_of(self) -> dict[str, int]:
        return {phrase: concept_id for concept_id, phrase in enumerate(self.tables.concepts.phrases)}

    @cached_property
    def _id_of_surface(self) -> dict[str, int]:
        surfaces = self.tables.concepts.surfaces
        return {surfaces[concept_id]: concept_id for concept_id in reversed(range(len(self)))}
