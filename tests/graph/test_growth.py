"""Growing a graph equals building it from everything at once: random catalogues, cut anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from easynlp_fashionklip.config import Scope
from easynlp_fashionklip.graph.builder import attach_prototypes, build_graph
from easynlp_fashionklip.graph.growth import expand_graph
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.graph.tables import Pictures

DIM = 6
NLP = spacy.blank("en")
SELECTION = {"num_candidates": 4, "num_prototypes": 2, "mmr_diversity": 0.5, "duplicate_similarity": 0.95}

colours = st.sampled_from(["", "Black", "White", "Red"])
fits = st.sampled_from(["", "Slim", "Striped", "Cropped"])
# Spellings of one concept, so that the commonest may change as a graph grows.
garments = st.sampled_from(["T-Shirt", "T-Shirts", "Tee Shirt", "Jeans", "Dress", "Dresses", "Hat"])
attachments = st.sampled_from(["", "", "with Pockets", "in Cotton"])
titles = st.tuples(colours, fits, garments, attachments).map(lambda words: " ".join(word for word in words if word))


@dataclass(frozen=True)
class Row:
    """A row of a catalogue; `picture` numbers the bytes of its picture."""

    product_id: str
    text: str
    picture: int


@st.composite
def catalogues(draw: st.DrawFn) -> list[Row]:
    """Up to 14 rows; some products have several, some pictures are there twice."""
    count = draw(st.integers(4, 14))
    return [Row(f"p{draw(st.integers(0, 11))}", draw(titles), draw(st.integers(0, 9))) for _ in range(count)]


def embed(names: Sequence[str]) -> np.ndarray:
    """A fixed unit vector for each name."""
    seeds = [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "little") for name in names]
    vectors = [np.random.default_rng(seed).normal(size=DIM) for seed in seeds]
    rows = np.array(vectors, dtype=np.float32).reshape(-1, DIM)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pictures_of(rows: Sequence[Row]) -> Pictures:
    keys = np.array([row.picture for row in rows], dtype=np.int64)
    return Pictures([row.product_id for row in rows], keys, embed([f"picture {row.picture}" for row in rows]))


def build(
    rows: Sequence[Row], min_frequency: int, scope: Scope = "mentions", min_coherence: float = -1.0
) -> ConceptGraph:
    pictures = pictures_of(rows)
    graph = build_graph([row.text for row in rows], pictures.product_ids, NLP, min_frequency)
    graph = attach_prototypes(
        graph,
        embed(graph.prompts()),
        pictures.embeds,
        pictures.product_ids,
        scope=scope,
        encoder="fake",
        num_candidates=4,
        num_prototypes=2,
        diversity=0.5,
        duplicate_similarity=0.95,
        picture_keys=pictures.keys,
        min_coherence=min_coherence,
    )
    return graph.with_pictures(pictures, encoder_digest="1", min_coherence=min_coherence, **SELECTION)


def expand(graph: ConceptGraph, rows: Sequence[Row]) -> ConceptGraph:
    return expand_graph(graph, [row.text for row in rows], pictures_of(rows), embed, NLP)


def described(graph: ConceptGraph) -> dict[str, object]:
    """Everything a graph knows, by phrase instead of by number."""
    tables, phrase = graph.tables, graph.tables.concepts.phrases
    is_a = tables.hierarchy
    offsets, mentions = graph.mentions_of(tables.product_ids)
    rare = zip(tables.rare.product.tolist(), tables.rare.phrase.tolist(), strict=True)
    return {
        "concepts": {(one.phrase, one.surface, one.head, one.depth, one.frequency) for one in graph.concepts},
        "spellings": {phrase[row]: tables.concepts.spellings(row) for row in range(len(graph))},
        "edges": {
            (phrase[child], phrase[parent], bool(primary))
            for child, parent, primary in zip(is_a.child, is_a.parent, is_a.primary, strict=True)
        },
        "mentions": {
            product: {phrase[one] for one in mentions[offsets[row] : offsets[row + 1]]}
            for row, product in enumerate(tables.product_ids)
        },
        "rare": {(tables.product_ids[product], tables.rare.table.phrases[row]) for product, row in rare},
        "rare spellings": {one: tables.rare.table.spellings(row) for row, one in enumerate(tables.rare.table.phrases)},
        "prototypes": {
            phrase[row]: [(one.rank, one.image_id, one.similarity) for one in graph.prototypes(row)]
            for row in range(len(graph))
        },
    }


def coherences(graph: ConceptGraph) -> dict[str, float | None]:
    """Of every concept, by phrase."""
    return {one.phrase: graph.coherence(one.concept_id) for one in graph.concepts}


@given(rows=catalogues(), cut=st.integers(1, 13), scope=st.sampled_from(["mentions", "mentions", "paper"]))
@settings(max_examples=60, deadline=None)
def test_expanding_equals_building_at_once(rows: list[Row], cut: int, scope: Scope) -> None:
    """Concepts, frequencies, spellings, edges, mentions, rare mentions and prototypes; ids of old concepts stay."""
    first = build(rows[:cut], 1, scope)
    grown = expand(first, rows[cut:])
    assert described(grown) == described(build(rows, 1, scope))
    assert grown.tables.concepts.phrases[: len(first)] == first.tables.concepts.phrases
    assert grown.info == first.info


@given(
    rows=catalogues(),
    cuts=st.tuples(st.integers(0, 14), st.integers(0, 14)),
    min_coherence=st.sampled_from([-1.0, 0.5, 0.7]),
)
@settings(max_examples=60, deadline=None)
def test_rare_phrases_of_the_parts_add_up(rows: list[Row], cuts: tuple[int, int], min_coherence: float) -> None:
    """With a minimum of two products, in up to three steps; the first part always has one concept.

    Growing makes concepts more or less coherent: some get prototypes, others lose theirs.
    """
    base = [Row("b0", "Hat", 20), Row("b1", "Hat", 21)]
    low, high = sorted(cuts)
    graph = build([*base, *rows[:low]], 2, min_coherence=min_coherence)
    for part in (rows[low:high], rows[high:]):
        before = graph.tables.concepts.phrases
        graph = expand(graph, part)
        assert graph.tables.concepts.phrases[: len(before)] == before
    whole = build([*base, *rows], 2, min_coherence=min_coherence)
    assert described(graph) == described(whole)
    assert coherences(graph) == coherences(whole)


@given(rows=catalogues(), cut=st.integers(1, 13))
@settings(max_examples=15, deadline=None)
def test_a_graph_from_the_disk_grows_alike(rows: list[Row], cut: int) -> None:
    """Written and read before and between two expansions, as commands do."""
    graph, middle = build(rows[:cut], 1), (cut + len(rows)) // 2
    with TemporaryDirectory() as folder:
        for part in (rows[cut:middle], rows[middle:]):
            graph.save(folder)
            graph = expand(ConceptGraph.load(folder), part)
    assert described(graph) == described(build(rows, 1))
    assert coherences(graph) == coherences(build(rows, 1))


@given(rows=catalogues(), cut=st.integers(0, 14))
@settings(max_examples=30, deadline=None)
def test_the_order_of_increments_does_not_matter(rows: list[Row], cut: int) -> None:
    """Two increments, either first: the same graph but for ids, and for equal pictures, of which the first counts."""
    distinct = [Row(f"q{number}", row.text, 30 + number) for number, row in enumerate(rows)]
    base = build([Row("b0", "Hat", 20), Row("b1", "Hat", 21)], 2)
    one, other = distinct[:cut], distinct[cut:]
    assert described(expand(expand(base, one), other)) == described(expand(expand(base, other), one))


@given(rows=catalogues())
@settings(max_examples=20, deadline=None)
def test_expanding_by_nothing_changes_nothing(rows: list[Row]) -> None:
    graph = build(rows, 1)
    same = expand(graph, [])
    assert described(same) == described(graph)
    assert same.tables.concepts == graph.tables.concepts
    assert same.tables.pictures is graph.tables.pictures


def test_prototypes_of_an_ancestor_change_when_an_old_phrase_becomes_a_concept() -> None:
    """`black slim cropped jeans` is rare at first; once it is a concept, its old picture stands for `black jeans`."""
    rows = [
        Row("a", "Black Jeans", 0),
        Row("b", "Black Jeans", 1),
        Row("c", "Black Slim Cropped Jeans", 2),
        Row("d", "Black Slim Cropped Jeans", 3),
    ]
    first = build(rows[:3], 2)
    assert first.find("black slim cropped jeans") is None
    grown = expand(first, rows[3:])
    assert grown.find("black slim cropped jeans") is not None
    assert described(grown) == described(build(rows, 2))


def test_the_commonest_spelling_of_all_texts_wins() -> None:
    """Three against two; the concept's prompt is another then, and with it the similarities of its prototypes."""
    first = build([Row("a", "T-Shirts", 0), Row("b", "T-Shirt", 1), Row("c", "T-Shirts", 2)], 1)
    assert first.concepts[0].surface == "t-shirts"
    more = [Row(f"n{number}", "T-Shirt", 10 + number) for number in range(2)]
    assert expand(first, more).concepts[0].surface == "t-shirt"


def test_a_graph_without_pictures_is_refused() -> None:
    """The caller must choose: texts alone, or building again."""
    graph = build_graph(["Black Hat"], ["a"], NLP, 1)
    with pytest.raises(ValueError, match="no picture embeddings"):
        expand(graph, [])
