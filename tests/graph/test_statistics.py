"""Counts of a graph."""

from __future__ import annotations

from easynlp_fashionklip.graph.statistics import graph_statistics
from easynlp_fashionklip.graph.store import ConceptGraph


def test_counts(graph: ConceptGraph) -> None:
    """By hand: t-shirt, black, white, short sleeve, in white, the last two together; jeans, slim fit."""
    found = graph_statistics(graph, top=2)
    assert (found.concepts, found.roots, found.products, found.products_with_concepts) == (8, 2, 5, 5)
    assert found.depths == [2, 5, 1]
    assert found.is_a_edges == 7  # five to the roots, two from the finest
    assert found.mentions == 4 + 2 + 2 + 2 + 2
    assert found.mean_concepts == 12 / 5
    assert found.top_heads == [("t-shirt", 6), ("jeans", 2)]
    assert found.top_concepts == [("t-shirt", 4), ("short sleeve t-shirt", 2)]
    assert (found.with_prototypes, found.without_prototypes, found.prototypes) == (0, 8, 0)
