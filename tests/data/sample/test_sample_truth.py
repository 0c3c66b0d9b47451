"""The true hierarchy: worked by hand on small cases, and its laws on drawn captions."""

from __future__ import annotations

import numpy as np
import pytest

from easynlp_fashionklip.data.sample.attributes import Attributes, draw_attributes
from easynlp_fashionklip.data.sample.captions import write_caption
from easynlp_fashionklip.data.sample.phrases import Phrase
from easynlp_fashionklip.data.sample.truth import concept_frequencies, concepts_of, is_a_edges, queries_of

SHORT_WHITE = Phrase("t-shirt", ("short sleeve",), ("in white",))


@pytest.fixture(scope="module")
def concepts() -> list[Phrase]:
    captions = []
    for position in range(400):
        rng = np.random.default_rng((1, position))
        captions.append(write_caption(draw_attributes(rng), rng).phrases)
    return list(concept_frequencies(captions))


def test_nested_phrases_peel_modifiers_from_the_outside() -> None:
    assert [phrase.text for phrase in SHORT_WHITE.nested()] == [
        "short sleeve t-shirt in white",
        "short sleeve t-shirt",
        "t-shirt in white",
        "t-shirt",
    ]
    bag = Phrase("bag", ("striped", "red", "tote"))
    assert [phrase.text for phrase in bag.nested()] == ["striped red tote bag", "red tote bag", "tote bag", "bag"]


def test_frequency_counts_products_not_mentions() -> None:
    twice = (SHORT_WHITE, Phrase("t-shirt"))
    frequencies = concept_frequencies([twice, (Phrase("t-shirt"),)])
    assert {concept.text: count for concept, count in frequencies.items()} == {
        "short sleeve t-shirt in white": 1,
        "short sleeve t-shirt": 1,
        "t-shirt in white": 1,
        "t-shirt": 2,
    }


def test_edges_skip_no_grain_and_join_across_phrases() -> None:
    checked = Phrase("dress", ("mini", "checked", "red"))
    concepts = concepts_of((checked, Phrase("dress", ("mini",)), Phrase("shirt", ("red",))))
    assert is_a_edges(concepts) == [
        ("checked red dress", "red dress"),
        ("mini checked red dress", "checked red dress"),
        ("mini checked red dress", "mini dress"),
        ("mini dress", "dress"),
        ("red dress", "dress"),
        ("red shirt", "shirt"),
    ]


def test_phrase_and_modifier_set_identify_each_other(concepts: list[Phrase]) -> None:
    assert len({concept.text for concept in concepts}) == len(concepts)
    assert len({(concept.head, concept.modifiers) for concept in concepts}) == len(concepts)


def test_drawn_hierarchy_is_the_transitive_reduction_of_the_order(concepts: list[Phrase]) -> None:
    """Oracle: an edge wherever one concept lies below another with none between; strict subsets admit no cycle."""
    expected = []
    for child in concepts:
        above = [c for c in concepts if c.head == child.head and c.modifiers < child.modifiers]
        expected += [(child.text, p.text) for p in above if not any(p.modifiers < q.modifiers for q in above)]
    edges = is_a_edges(concepts)
    assert len(edges) > 500
    assert edges == sorted(expected)


def test_drawn_hierarchy_has_no_cycle(concepts: list[Phrase]) -> None:
    parents: dict[str, list[str]] = {}
    for child, parent in is_a_edges(concepts):
        parents.setdefault(child, []).append(parent)
    for phrase, direct in parents.items():
        seen, waiting = set(), list(direct)
        while waiting:
            above = waiting.pop()
            assert above != phrase
            if above not in seen:
                seen.add(above)
                waiting += parents.get(above, [])


def test_queries_by_hand() -> None:
    products = [
        ("a", Attributes("boot", "red", "plain", "white", "men")),
        ("b", Attributes("boot", "navy", "plain", "white", "men")),
    ]
    assert [(query.kind, query.text, query.item_ids) for query in queries_of(products)] == [
        ("category", "boots", ("a", "b")),
        ("colour+category", "navy boots", ("b",)),
        ("colour+category", "red boots", ("a",)),
        ("pattern+category", "plain boots", ("a", "b")),
    ]
