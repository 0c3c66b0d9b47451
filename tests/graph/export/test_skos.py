"""SKOS Turtle as rdflib parses it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import networkx
import pytest
from rdflib import RDF, Graph, Literal, URIRef
from rdflib.namespace import FOAF, SKOS

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.export import export_graph
from easynlp_fashionklip.graph.store import ConceptGraph

BASE = "https://shop.example/kg/"
SCHEME = URIRef(BASE + "scheme")


@pytest.fixture(scope="module")
def parsed(shirts: ConceptGraph, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    path = tmp_path_factory.mktemp("out") / "graph.ttl"
    export_graph(shirts, "skos", path, base=BASE)
    return Graph().parse(path, format="turtle")


def iri(phrase: str) -> URIRef:
    return URIRef(f"{BASE}concept/{phrase.replace(' ', '%20')}")


def test_labels_hold_every_character(parsed: Graph, shirts: ConceptGraph) -> None:
    labels = {str(label) for label in parsed.objects(None, SKOS.prefLabel)}
    assert labels == set(shirts.tables.concepts.phrases)
    assert {label.language for label in parsed.objects(None, SKOS.prefLabel)} == {"en"}
    assert set(parsed.objects(iri("t-shirt"), SKOS.altLabel)) == {Literal("T-Shirt", lang="en")}
    assert not set(parsed.objects(iri("dress"), SKOS.altLabel))


def test_iris_are_the_phrases_percent_encoded(parsed: Graph) -> None:
    for concept in parsed.subjects(RDF.type, SKOS.Concept):
        name = str(concept).removeprefix(f"{BASE}concept/")
        assert name.isascii() and not set(name) & set("/<>\"' .\\") - {"."} and name not in (".", "..")
        assert unquote(name) == str(parsed.value(concept, SKOS.prefLabel))


def test_broader_and_narrower_say_the_same_without_a_cycle(parsed: Graph) -> None:
    broader = {(child, parent) for child, parent in parsed.subject_objects(SKOS.broader)}
    assert broader == {(child, parent) for parent, child in parsed.subject_objects(SKOS.narrower)}
    assert {
        (iri("white v-neck t-shirt"), iri("white t-shirt")),
        (iri("white v-neck t-shirt"), iri("v-neck t-shirt")),
    } < broader
    assert len(broader) == 4
    assert networkx.is_directed_acyclic_graph(networkx.DiGraph(broader))
    concepts = set(parsed.subjects(RDF.type, SKOS.Concept))
    assert {one for edge in broader for one in edge} <= concepts


def test_roots_are_the_top_concepts_of_one_scheme(parsed: Graph) -> None:
    concepts = set(parsed.subjects(RDF.type, SKOS.Concept))
    assert set(parsed.subjects(RDF.type, SKOS.ConceptScheme)) == {SCHEME}
    assert set(parsed.subjects(SKOS.inScheme, SCHEME)) == concepts
    roots = {one for one in concepts if not set(parsed.objects(one, SKOS.broader))}
    assert set(parsed.objects(SCHEME, SKOS.hasTopConcept)) == set(parsed.subjects(SKOS.topConceptOf, SCHEME)) == roots
    assert iri("dress") in roots and iri("white t-shirt") not in roots


def test_prototypes_are_depictions(parsed: Graph) -> None:
    depicted = set(parsed.objects(iri("t-shirt"), FOAF.depiction))
    assert depicted == {URIRef(f"{BASE}image/{name}") for name in ("p1", "p2", "p1%231")}
    assert set(parsed.objects(None, FOAF.depiction)) == set(parsed.subjects(RDF.type, FOAF.Image))


@pytest.mark.parametrize("base", ["shop", "", "https://shop example/", "https://a/<b>", "//shop/"])
def test_a_base_that_is_no_absolute_iri(shirts: ConceptGraph, tmp_path: Path, base: str) -> None:
    with pytest.raises(InputError, match="absolute IRI"):
        export_graph(shirts, "skos", tmp_path / "graph.ttl", base=base)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("base", ["urn:kg:", "https://shop.example/kg", "https://shop.example/kg#"])
def test_other_bases(shirts: ConceptGraph, tmp_path: Path, base: str) -> None:
    export_graph(shirts, "skos", tmp_path / "graph.ttl", base=base)
    found = Graph().parse(tmp_path / "graph.ttl", format="turtle")
    joined = base if base.endswith((":", "#")) else f"{base}/"
    assert (URIRef(f"{joined}concept/dress"), RDF.type, SKOS.Concept) in found
