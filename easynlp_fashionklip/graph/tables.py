"""The graph as plain columns, and how mentions of phrases become it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from easynlp_fashionklip.graph.csr import from_pairs, rows_of
from easynlp_fashionklip.graph.hierarchy import Hierarchy, build_hierarchy
from easynlp_fashionklip.graph.mining import MinedTexts

if TYPE_CHECKING:
    from numpy.typing import NDArray


UNKNOWN_COUNT = -1


@dataclass(frozen=True)
class PhraseTable:
    """P distinct phrases: normal form, commonest spelling, head, modifiers, and how often they are spelt how.

    `counts[p]` mentions of phrase p are spelt `surfaces[p]`, and `others[p]` are its other spellings with their counts.
    A graph written before spellings were counted has `UNKNOWN_COUNT`; its surfaces stay when it grows.
    """

    phrases: list[str] = field(default_factory=list)
    surfaces: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    modifiers: list[tuple[str, ...]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    others: list[tuple[tuple[str, int], ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Spellings that nobody counted are unknown."""
        if not self.counts:
            self.counts.extend([UNKNOWN_COUNT] * len(self.phrases))
            self.others.extend([()] * len(self.phrases))

    def __len__(self) -> int:
        """Number of phrases."""
        return len(self.phrases)

    def take(self, rows: Sequence[int]) -> PhraseTable:
        """The phrases at these rows."""
        columns = (self.phrases, self.surfaces, self.heads, self.modifiers, self.counts, self.others)
        return PhraseTable(*([column[row] for row in rows] for column in columns))  # type: ignore[arg-type]

    def __add__(self, other: PhraseTable) -> PhraseTable:
        """Both tables, one below the other."""
        return PhraseTable(
            self.phrases + other.phrases,
            self.surfaces + other.surfaces,
            self.heads + other.heads,
            self.modifiers + other.modifiers,
            self.counts + other.counts,
            self.others + other.others,
        )

    def spellings(self, row: int) -> dict[str, int]:
        """Counts of the spellings of one phrase; empty if unknown."""
        if self.counts[row] == UNKNOWN_COUNT:
            return {}
        return {self.surfaces[row]: self.counts[row], **dict(self.others[row])}

    def add_spellings(self, row: int, counts: Mapping[str, int]) -> None:
        """Count further mentions of one phrase; the commonest spelling, of equals the first, becomes its surface."""
        known = self.spellings(row)
        if not known:
            return
        for surface, count in counts.items():
            known[surface] = known.get(surface, 0) + count
        self.surfaces[row], self.counts[row], self.others[row] = ranked_spellings(known)


def ranked_spellings(counts: Mapping[str, int]) -> tuple[str, int, tuple[tuple[str, int], ...]]:
    """(commonest spelling, its count, the others with theirs), of equals the alphabetically first; unused ones go."""
    (first, count), *rest = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return first, count, tuple((surface, many) for surface, many in rest if many > 0)


@dataclass(frozen=True)
class Mentions:
    """Which of the phrases which products mention: pairs of positions (int64), distinct, sorted by product."""

    table: PhraseTable
    product_ids: list[str]
    product: NDArray[np.int64]
    phrase: NDArray[np.int64]


@dataclass(frozen=True)
class PrototypeColumns:
    """Prototypes sorted by concept and rank: concept (int64), rank (int32), image id, cosine similarity (float32)."""

    concept: NDArray[np.int64]
    rank: NDArray[np.int32]
    image_ids: list[str]
    similarity: NDArray[np.float32]

    @staticmethod
    def empty() -> PrototypeColumns:
        """No prototypes."""
        zero = np.zeros(0)
        return PrototypeColumns(zero.astype(np.int64), zero.astype(np.int32), [], zero.astype(np.float32))


SELECTION_FIELDS = (
    "encoder_digest",
    "image_size",
    "num_candidates",
    "num_prototypes",
    "mmr_diversity",
    "duplicate_similarity",
    "min_coherence",
)


@dataclass(frozen=True)
class GraphInfo:
    """How the graph was made; written to graph.json. `embedding_dim` 0 and `encoder` '' mean: no prototypes yet.

    The fields from `encoder_digest` on are known only beside picture embeddings: what choosing prototypes again needs.
    `encoder_digest` tells weights apart that share a name (`DualEncoder.digest`), `image_size` is the side in pixels.
    """

    min_frequency: int
    spacy_pipeline: str = ""
    prompt: str = ""
    encoder: str = ""
    embedding_dim: int = 0
    prototype_scope: str = ""
    encoder_digest: str = ""
    image_size: int = 0
    num_candidates: int = 0
    num_prototypes: int = 0
    mmr_diversity: float = 0.0
    duplicate_similarity: float = 1.0
    min_coherence: float = -1.0

    def without_selection(self) -> GraphInfo:
        """The same without what goes with picture embeddings."""
        defaults: dict[str, Any] = {one.name: one.default for one in fields(self) if one.name in SELECTION_FIELDS}
        return replace(self, **defaults)


@dataclass(frozen=True)
class Pictures:
    """The pictures that prototypes were chosen from, in the order of the catalogues.

    `product_ids` (N) are their products; `keys` (int64, N) are equal where the pictures' bytes are; `embeds` (float32,
    N x d, unit norm) may be mapped from a file.
    """

    product_ids: list[str]
    keys: NDArray[np.int64]
    embeds: NDArray[np.float32]

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.product_ids)


@dataclass(frozen=True)
class GraphTables:
    """Everything a stored graph holds.

    `concepts` are the phrases that at least `info.min_frequency` products mention, row = concept id. `rare` are the
    mentions of the others: kept, so that a graph grown with new texts equals one built from all texts at once.
    `coherence` is how far each concept can be told from pictures (graph/coherence.py), nan where that is unknown; None
    before anybody looked at pictures.
    """

    info: GraphInfo
    concepts: PhraseTable
    frequency: NDArray[np.int64]
    hierarchy: Hierarchy
    product_ids: list[str]
    mention_offsets: NDArray[np.int64]
    mention_concepts: NDArray[np.int64]
    rare: Mentions
    prototypes: PrototypeColumns
    pictures: Pictures | None = None
    coherence: NDArray[np.float32] | None = None


def mentions_of_texts(mined: MinedTexts, product_ids: Sequence[str]) -> Mentions:
    """Mentions by product; texts that share a product id (its several pictures) are taken together."""
    products, product_of = _distinct(product_ids)
    text_of = rows_of(mined.offsets)
    product = text_of if product_of is None else product_of[text_of]
    offsets, phrase = from_pairs(product, mined.phrase_index.astype(np.int64), len(products))
    ranked = [ranked_spellings(counts) for counts in mined.surfaces]
    surfaces, counts, others = ([one[column] for one in ranked] for column in range(3))
    table = PhraseTable(mined.phrases, surfaces, mined.heads, mined.modifiers, counts, others)  # type: ignore[arg-type]
    return Mentions(table, products, rows_of(offsets), phrase)


def _distinct(product_ids: Sequence[str]) -> tuple[list[str], NDArray[np.int64] | None]:
    """Distinct ids in order of appearance, and which of them each id is; None when no id is there twice."""
    if len(set(product_ids)) == len(product_ids):
        return list(product_ids), None
    position: dict[str, int] = {}
    product_of = np.array([position.setdefault(one, len(position)) for one in product_ids], dtype=np.int64)
    return list(position), product_of


def all_mentions(graph: GraphTables) -> Mentions:
    """Mentions of the concepts and of the rare phrases together; phrase row = concept id for concepts."""
    return Mentions(
        graph.concepts + graph.rare.table,
        graph.product_ids,
        np.concatenate([rows_of(graph.mention_offsets), graph.rare.product]),
        np.concatenate([graph.mention_concepts, graph.rare.phrase + len(graph.concepts)]),
    )


def merge(old: Mentions, new: Mentions) -> Mentions:
    """Mentions of both; rows of the old phrases and products stay, counts of spellings add up."""
    phrase_row = {phrase: row for row, phrase in enumerate(old.table.phrases)}
    unseen = [row for row, phrase in enumerate(new.table.phrases) if phrase not in phrase_row]
    table = old.table + new.table.take(unseen)
    for row, phrase in enumerate(new.table.phrases):
        if phrase in phrase_row:
            table.add_spellings(phrase_row[phrase], new.table.spellings(row))
    phrase_row = {phrase: row for row, phrase in enumerate(table.phrases)}
    product_row = {product: row for row, product in enumerate(old.product_ids)}
    product_map = np.array([product_row.setdefault(one, len(product_row)) for one in new.product_ids], dtype=np.int64)
    phrase_map = np.array([phrase_row[phrase] for phrase in new.table.phrases], dtype=np.int64)
    return Mentions(
        table,
        list(product_row),
        np.concatenate([old.product, product_map[new.product]]),
        np.concatenate([old.phrase, phrase_map[new.phrase]]),
    )


def assemble(mentions: Mentions, info: GraphInfo, first: int = 0) -> GraphTables:
    """Graph without prototypes from mentions.

    Phrase rows below `first` keep their row as concept id; the others that are frequent enough follow, the most
    frequent first, of equals the alphabetically first.
    """
    table = mentions.table
    product_offsets, phrase = from_pairs(mentions.product, mentions.phrase, len(mentions.product_ids))
    product = mentions.product if phrase is mentions.phrase else rows_of(product_offsets)
    frequency = np.bincount(phrase, minlength=len(table)).astype(np.int64)
    frequent = (row for row in range(first, len(table)) if frequency[row] >= info.min_frequency)
    order = [*range(first), *sorted(frequent, key=lambda row: (-frequency[row], table.phrases[row]))]
    concept_of = np.full(len(table), -1, dtype=np.int64)
    concept_of[order] = np.arange(len(order))
    concepts = table.take(order)
    concept = concept_of[phrase]
    known = concept >= 0
    offsets, values = from_pairs(product[known], concept[known], len(mentions.product_ids))
    del concept
    return GraphTables(
        info=info,
        concepts=concepts,
        frequency=frequency[order],
        hierarchy=build_hierarchy(concepts.phrases, concepts.heads, concepts.modifiers, frequency[order].tolist()),
        product_ids=mentions.product_ids,
        mention_offsets=offsets,
        mention_concepts=values,
        rare=_rare(mentions, product[~known], phrase[~known]),
        prototypes=PrototypeColumns.empty(),
    )


def _rare(mentions: Mentions, product: NDArray[np.int64], phrase: NDArray[np.int64]) -> Mentions:
    rows, compact = np.unique(phrase, return_inverse=True)
    return Mentions(mentions.table.take(rows.tolist()), mentions.product_ids, product, compact.astype(np.int64))
