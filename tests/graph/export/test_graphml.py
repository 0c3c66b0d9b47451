"""GraphML as networkx reads it."""

from __future__ import annotations

import networkx
import pytest

from easynlp_fashionklip.graph.export import export_graph
from easynlp_fashionklip.graph.store import ConceptGraph

FIELDS = ("phrase", "surface", "head", "depth", "frequency")


@pytest.fixture(scope="module")
def opened(shirts: ConceptGraph, tmp_path_factory: pytest.TempPathFactory) -> networkx.DiGraph:
    path = tmp_path_factory.mktemp("out") / "graph.graphml"
    export_graph(shirts, "graphml", path)
    return networkx.read_graphml(path)


def xml(text: str | int) -> str | int:
    """What XML can hold of a text."""
    bad = dict.fromkeys((0x00, 0x07, 0x1B, 0xFFFE), "\ufffd")
    return text.translate(bad) if isinstance(text, str) else text


def test_every_concept_is_a_node_with_its_fields(opened: networkx.DiGraph, shirts: ConceptGraph) -> None:
    assert opened.is_directed()
    expected = {f"c{c.concept_id}": {name: xml(getattr(c, name)) for name in FIELDS} for c in shirts.concepts}
    assert dict(opened.nodes(data=True)) == expected


def test_edges_go_from_child_to_parent_without_a_cycle(opened: networkx.DiGraph, shirts: ConceptGraph) -> None:
    edges = {(child, parent): (data["relation"], data["primary"]) for child, parent, data in opened.edges(data=True)}
    assert edges == {
        ("c1", "c0"): ("is_a", True),
        ("c2", "c0"): ("is_a", True),
        ("c3", "c1"): ("is_a", True),
        ("c3", "c2"): ("is_a", False),
    }
    assert networkx.is_directed_acyclic_graph(opened)
