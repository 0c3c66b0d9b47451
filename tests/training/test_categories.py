"""The category of a row is its main garment."""

from __future__ import annotations

import numpy as np
import pytest

from easynlp_fashionklip.data.pairs import stable_key
from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.training.categories import row_categories

spacy = pytest.importorskip("spacy")


def test_rows_of_one_garment_share_a_category(graph: ConceptGraph, product_keys: np.ndarray) -> None:
    categories = row_categories(graph, product_keys)
    assert categories[0] == categories[1] == categories[2] >= 0
    assert categories[3] == categories[4] >= 0 and categories[3] != categories[0]
    assert categories[5] == -1  # mentions nothing known
    shuffled = row_categories(graph, product_keys[[3, 5, 0]])
    assert shuffled.tolist() == [categories[3], -1, categories[0]]


def test_the_garment_with_most_concepts_leads_and_then_the_commonest() -> None:
    texts = ["Slim Blue Jeans, Top", "Top", "Red Top", "Jeans, Top"]
    products = [f"p{number}" for number in range(4)]
    graph = build_graph(texts, products, spacy.blank("en"), min_frequency=1)
    categories = row_categories(graph, np.array([stable_key(one) for one in products]))
    top = categories[1]
    assert categories[2] == top
    assert categories[0] != top  # slim blue jeans, blue jeans, slim jeans, jeans against top
    assert categories[3] == top  # one concept each: tops are commoner


def test_parts_and_materials_are_no_category() -> None:
    graph = build_graph(["Long Sleeve", "Cotton"], ["a", "b"], spacy.blank("en"), min_frequency=1)
    keys = np.array([stable_key(one) for one in "ab"])
    assert row_categories(graph, keys).tolist() == [-1, -1]
