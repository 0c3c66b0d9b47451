"""`ConceptGraph`: look-ups, growth, vectorised access."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from spacy.language import Language
from torch.nn.functional import normalize

from easynlp_fashionklip.data.pairs import stable_key
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import attach_prototypes, build_graph, image_candidates
from easynlp_fashionklip.graph.store import ConceptGraph

TITLES = ["Short Sleeve T-Shirt in White", "Black T-Shirt", "White T-Shirt", "Short Sleeve T-Shirt", "Slim Fit Jeans"]
PRODUCTS = ["p0", "p1", "p2", "p3", "p4"]


def _id(graph: ConceptGraph, phrase: str) -> int:
    found = graph.find(phrase)
    assert found is not None, phrase
    return found.concept_id


def _phrases(graph: ConceptGraph, ids: list[int]) -> set[str]:
    return {graph.concepts[i].phrase for i in ids}


def _edges(graph: ConceptGraph) -> set[tuple[str, str, bool]]:
    is_a, phrase = graph.tables.hierarchy, graph.tables.concepts.phrases
    return {
        (phrase[child], phrase[parent], bool(primary))
        for child, parent, primary in zip(is_a.child, is_a.parent, is_a.primary, strict=True)
    }


def _mentions(graph: ConceptGraph) -> dict[str, set[str]]:
    offsets, ids = graph.mentions_of(graph.tables.product_ids)
    return {
        product: _phrases(graph, ids[offsets[i] : offsets[i + 1]].tolist())
        for i, product in enumerate(graph.tables.product_ids)
    }


def test_ids_are_positions_by_frequency(graph: ConceptGraph) -> None:
    """The commonest concept is number 0."""
    assert [concept.concept_id for concept in graph.concepts] == list(range(len(graph)))
    assert (graph.concepts[0].phrase, graph.concepts[0].frequency) == ("t-shirt", 4)


def test_is_a_look_ups(graph: ConceptGraph) -> None:
    """The design's example, up and down."""
    finest = _id(graph, "short sleeve t-shirt in white")
    assert _phrases(graph, graph.parents(finest)) == {"short sleeve t-shirt", "t-shirt in white"}
    assert graph.primary_parent(finest) == _id(graph, "short sleeve t-shirt")  # two products against one
    assert _phrases(graph, graph.ancestors(finest)) == {"short sleeve t-shirt", "t-shirt in white", "t-shirt"}
    root = _id(graph, "t-shirt")
    assert graph.primary_parent(root) is None and graph.parents(root) == []
    assert finest in graph.descendants(root) and finest not in graph.children(root)
    assert graph.concepts[finest].depth == 2


@pytest.mark.parametrize("written", ["T Shirt", "tee-shirts", "Tshirts", " t-shirt "])
def test_find_in_any_spelling(graph: ConceptGraph, written: str) -> None:
    """Spelling variants name the same concept."""
    assert _id(graph, written) == 0


def test_what_is_not_there(graph: ConceptGraph) -> None:
    """An unknown phrase, an unknown id."""
    assert graph.find("purple hat") is None
    with pytest.raises(IndexError):
        graph.parents(len(graph))


def test_match_gives_known_concepts_only(graph: ConceptGraph) -> None:
    """A hat is not in this graph."""
    assert _phrases(graph, graph.match("Black Tee-Shirt with Hat")) >= {"t-shirt", "black t-shirt"}
    assert graph.match("Purple Hat") == []


def test_mentions_of_a_table(graph: ConceptGraph) -> None:
    """In the order asked for, repeated and unknown products included."""
    keys = np.array([stable_key(one) for one in ("p1", "nobody", "p4", "p1")])
    offsets, ids = graph.mention_csr(keys)
    rows = [_phrases(graph, ids[offsets[i] : offsets[i + 1]].tolist()) for i in range(4)]
    assert rows[0] == rows[3] == {"t-shirt", "black t-shirt"}
    assert rows[1] == set() and rows[2] == {"jeans", "slim fit jeans"}


def test_related_mask_is_ancestry_in_either_direction(graph: ConceptGraph) -> None:
    """Against the look-ups, also for repeated ids."""
    ids = [*range(len(graph)), 0]
    expected = [[i == j or j in graph.ancestors(i) or i in graph.ancestors(j) for j in ids] for i in ids]
    assert graph.related_mask(ids).tolist() == expected
    assert not all(all(row) for row in expected)


def test_expand_equals_building_at_once(blank: Language) -> None:
    """Same concepts, edges and mentions, and no old id changes; rare phrases of both parts add up."""
    texts = [*TITLES, "White Jeans", "Black Jeans", "Short Sleeve White T-Shirt", "Slim Fit Jeans in White", "Red Cap"]
    products = [*PRODUCTS, "p5", "p6", "p2", "p8", "p9"]  # p2 comes again with another text
    for min_frequency in (1, 2, 3):
        for split in (3, 5, 8):
            old = build_graph(texts[:split], products[:split], blank, min_frequency)
            grown = old.expand(texts[split:], products[split:])
            whole = build_graph(texts, products, blank, min_frequency)
            assert [one.phrase for one in grown.concepts[: len(old)]] == [one.phrase for one in old.concepts]
            assert {(c.phrase, c.frequency, c.depth) for c in grown.concepts} == {
                (c.phrase, c.frequency, c.depth) for c in whole.concepts
            }
            assert _edges(grown) == _edges(whole)
            assert _mentions(grown) == _mentions(whole)


def test_expand_keeps_prototypes(graph: ConceptGraph) -> None:
    """New concepts have none until selected; selecting for them leaves the others'."""
    images = normalize(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    prompts = normalize(torch.randn(len(graph), 4, generator=torch.Generator().manual_seed(1)), dim=1)
    before = attach_prototypes(graph, prompts, images, PRODUCTS, encoder="toy")
    grown = before.expand(["White Jeans"], ["p5"])
    new = list(range(len(graph), len(grown)))
    assert _phrases(grown, new) == {"white jeans"}
    assert [grown.prototypes(i) for i in range(len(graph))] == [before.prototypes(i) for i in range(len(graph))]
    assert grown.prototypes(new[0]) == []
    names = [*PRODUCTS, "p5"]
    after = attach_prototypes(grown, prompts[:1], torch.cat([images, images[:1]]), names, concept_ids=new)
    assert [one.image_id for one in after.prototypes(new[0])] == ["p5"]
    assert after.prototypes(0) == before.prototypes(0)


def test_prototype_candidates_are_the_mentions_of_descendants(graph: ConceptGraph) -> None:
    """`t-shirt in white` is said by p0 only; a picture of p0 also stands for `t-shirt`."""
    offsets, image = image_candidates(graph, ["p2", "p0", "p0", "p4"])
    rows = {c.phrase: image[offsets[c.concept_id] : offsets[c.concept_id + 1]].tolist() for c in graph.concepts}
    assert rows["t-shirt in white"] == [1, 2]
    assert rows["t-shirt"] == [0, 1, 2]
    assert rows["slim fit jeans"] == [3] and rows["black t-shirt"] == []


def test_scopes_and_image_names(graph: ConceptGraph) -> None:
    """`mentions` never shows a picture whose text does not say it, `paper` may."""
    images = normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    prompts = torch.eye(4)[torch.arange(len(graph)) % 4]
    products = [*PRODUCTS, "p4"]
    jeans = _id(graph, "jeans")
    said = attach_prototypes(graph, prompts, images, products)
    anywhere = attach_prototypes(graph, prompts, images, products, scope="paper")
    assert {one.image_id for one in said.prototypes(jeans)} == {"p4", "p4#1"}
    assert len(anywhere.prototypes(jeans)) == 6
    assert anywhere.info.prototype_scope == "paper" and anywhere.info.embedding_dim == 4
    offsets, names = said.prototype_images()
    assert names[offsets[jeans] : offsets[jeans + 1]] == [one.image_id for one in said.prototypes(jeans)]


def test_another_encoder_is_refused(graph: ConceptGraph) -> None:
    """Only once there are prototypes."""
    graph.check_encoder(512)
    images = torch.eye(4)[:1].repeat(5, 1)
    built = attach_prototypes(graph, torch.eye(4)[:1].repeat(len(graph), 1), images, PRODUCTS, encoder="toy")
    built.check_encoder(4, "other")
    with pytest.raises(InputError, match=r"dimension 4 \(toy\), this model \(other\) has 512; rebuild"):
        built.check_encoder(512, "other")


def test_prompts_use_the_commonest_spelling(blank: Language) -> None:
    """Not the normal form."""
    graph = build_graph(["White T-Shirts"] * 2 + ["White T-Shirt"], ["a", "b", "c"], blank, 1)
    assert graph.prompts([0]) == ["a photo of t-shirts"]


@pytest.mark.parametrize(
    ("texts", "products", "sentence"),
    [(["Black Cap"], ["a", "b"], "1 texts come with 2 product ids"), (["Black Cap", "-"], ["a", "b"], "No concept")],
)
def test_building_says_what_is_wrong(blank: Language, texts: list[str], products: list[str], sentence: str) -> None:
    """Unequal numbers; nothing frequent enough."""
    with pytest.raises(InputError, match=sentence):
        build_graph(texts, products, blank, min_frequency=2)


def test_expanding_says_what_is_wrong(graph: ConceptGraph) -> None:
    """Unequal numbers."""
    with pytest.raises(InputError, match="1 texts come with 2 product ids"):
        graph.expand(["Black Cap"], ["a", "b"])
