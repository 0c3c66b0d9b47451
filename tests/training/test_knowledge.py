"""The graph joined to rows: against plain loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.training.bank import EmbeddingBank
from easynlp_fashionklip.training.knowledge import ConceptKnowledge

Make = Callable[..., ConceptKnowledge]
PRODUCTS = "abcdef"


def concepts_of(graph: ConceptGraph, product: str) -> set[int]:
    return set(graph.mentions_of([product])[1].tolist())


@pytest.fixture
def knowledge(make_knowledge: Make, bank: EmbeddingBank) -> ConceptKnowledge:
    made = make_knowledge(num_candidates=4, num_prototypes=3)
    torch.manual_seed(0)
    made.refresh(F.normalize(torch.randn(made.num_concepts, 32), dim=1), bank)
    return made


@pytest.mark.parametrize("rows", [[0, 1, 2], [5, 3], [4, 0, 0, 5], [5], []])
def test_batch_against_a_plain_loop(
    knowledge: ConceptKnowledge, bank: EmbeddingBank, graph: ConceptGraph, rows: list[int]
) -> None:
    unique, batch = knowledge.batch(torch.tensor(rows, dtype=torch.int64), bank)
    own = [concepts_of(graph, PRODUCTS[row]) for row in rows]
    expected = sorted(set().union(*own))
    assert unique.tolist() == expected
    for i, concepts in enumerate(own):
        for column, concept in enumerate(expected):
            assert bool(batch.membership[i, column]) == (concept in concepts)
    for one, concept in enumerate(expected):
        kin = {concept, *graph.ancestors(concept), *graph.descendants(concept)}
        for other, second in enumerate(expected):
            assert bool(batch.related[one, other]) == (second in kin)
    for column, concept in enumerate(expected):
        chosen = [row for row in knowledge.prototype_rows[concept].tolist() if row >= 0]
        assert int(batch.prototype_mask[column].sum()) == len(chosen) > 0
        for slot, row in enumerate(chosen):
            got = batch.prototype_embeds[batch.prototype_index[column, slot]]
            torch.testing.assert_close(got, bank.get(torch.tensor(row)))
    used = {row for concept in expected for row in knowledge.prototype_rows[concept].tolist() if row >= 0}
    assert len(batch.prototype_embeds) == len(used)
    assert batch.slots is None


def test_prototypes_are_pictures_whose_text_mentions_the_concept(
    knowledge: ConceptKnowledge, graph: ConceptGraph
) -> None:
    dress = graph.find("dress")
    assert dress is not None
    rows = {row for row in knowledge.prototype_rows[dress.concept_id].tolist() if row >= 0}
    assert rows == {0, 1, 2}


def test_paper_scope_takes_any_picture(make_knowledge: Make, bank: EmbeddingBank) -> None:
    knowledge = make_knowledge(num_candidates=6, num_prototypes=6, scope="paper")
    knowledge.refresh(F.normalize(torch.randn(knowledge.num_concepts, 32), dim=1), bank)
    assert sorted(knowledge.prototype_rows[0].tolist()) == list(range(6))


def test_refresh_follows_the_bank(knowledge: ConceptKnowledge, bank: EmbeddingBank, graph: ConceptGraph) -> None:
    dress = graph.find("dress")
    assert dress is not None
    prompts = torch.zeros(knowledge.num_concepts, 32)
    prompts[:, 0] = 1
    for nearest in (0, 2):
        bank.embeds.zero_()
        bank.embeds[:, 1] = 1
        bank.embeds[nearest] = 0
        bank.embeds[nearest, 0] = 1
        knowledge.refresh(prompts, bank)
        assert int(knowledge.prototype_rows[dress.concept_id, 0]) == nearest


def test_slots_are_the_most_specific_concepts(
    knowledge: ConceptKnowledge, bank: EmbeddingBank, graph: ConceptGraph
) -> None:
    unique, batch = knowledge.batch(torch.tensor([2, 5]), bank, paper_slots=True)
    assert batch.slots is not None
    assert batch.slots[1].tolist() == [-1, -1, -1]
    depths = [graph.concepts[int(unique[column])].depth for column in batch.slots[0] if column >= 0]
    everything = sorted((graph.concepts[c].depth for c in concepts_of(graph, "c")), reverse=True)
    assert depths == everything[: len(depths)]
    assert len(depths) == min(3, len(everything))


def test_products_the_graph_has_not_met_have_no_concepts(make_knowledge: Make, graph: ConceptGraph) -> None:
    strangers = ConceptKnowledge(graph, np.array([1, 2, 3]), make_knowledge().settings)
    unique, batch = strangers.batch(torch.tensor([0, 2]), EmbeddingBank(3, 32))
    assert len(unique) == 0
    assert batch.membership.shape == (2, 0)
