"""The graph joined to rows: against plain loops."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.training.bank import EmbeddingBank
from easynlp_fashionklip.training.knowledge import ConceptKnowledge, PrototypeSettings

spacy = pytest.importorskip("spacy")

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


def test_slots_against_a_plain_loop(knowledge: ConceptKnowledge, bank: EmbeddingBank, graph: ConceptGraph) -> None:
    """Deepest first, of equally deep ones the lower number."""
    rows = [4, 5, 0, 2, 4, 1, 3]
    unique, batch = knowledge.batch(torch.tensor(rows), bank, paper_slots=True)
    assert batch.slots is not None
    for slots, row in zip(batch.slots.tolist(), rows, strict=True):
        own = sorted(concepts_of(graph, PRODUCTS[row]), key=lambda c: (-graph.concepts[c].depth, c))
        assert [int(unique[column]) for column in slots if column >= 0] == own[:3]
        assert slots[len(own) :] == [-1] * (3 - len(own))


def test_without_prototypes_nothing_of_them_is_looked_up(knowledge: ConceptKnowledge, bank: EmbeddingBank) -> None:
    rows = torch.tensor([0, 2, 5])
    unique, batch = knowledge.batch(rows, bank, prototypes=False)
    expected, whole = knowledge.batch(rows, bank)
    assert torch.equal(unique, expected)
    assert torch.equal(batch.membership, whole.membership)
    assert torch.equal(batch.related, whole.related)
    assert batch.prototype_embeds.shape == (0, 32)
    assert batch.prototype_mask.shape == batch.prototype_index.shape == (len(unique), 0)


def test_products_the_graph_has_not_met_have_no_concepts(make_knowledge: Make, graph: ConceptGraph) -> None:
    strangers = ConceptKnowledge(graph, np.array([1, 2, 3]), make_knowledge().settings)
    unique, batch = strangers.batch(torch.tensor([0, 2]), EmbeddingBank(3, 32))
    assert len(unique) == 0
    assert batch.membership.shape == (2, 0)


def _prompts(knowledge: ConceptKnowledge, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(knowledge.num_concepts, 32, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("scope", ["mentions", "paper"])
def test_refreshing_what_changed_equals_refreshing_all(make_knowledge: Make, scope: str) -> None:
    """Tolerance 0: over rounds of changed pictures, changed prompts, neither and both."""
    fresh, banks = np.random.default_rng(1), [EmbeddingBank(6, 32), EmbeddingBank(6, 32)]
    partly = make_knowledge(num_candidates=4, num_prototypes=3, refresh_tolerance=0.0, scope=scope)
    wholly = make_knowledge(num_candidates=4, num_prototypes=3, scope=scope)
    start = F.normalize(torch.from_numpy(fresh.normal(size=(6, 32))).float(), dim=1)
    prompts, ranked = _prompts(partly, 0), []
    for rows, changed in (([], []), ([], []), ([3], []), ([0, 4], [1]), ([], [0, 2]), ([5], []), ([1, 1], [3])):
        prompts = prompts.clone()
        prompts[changed] = _prompts(partly, 7)[changed]
        new = F.normalize(torch.from_numpy(fresh.normal(size=(len(rows), 32))).float(), dim=1)
        for bank in banks:
            if not ranked:
                bank.fill(start.numpy())
            bank.update(torch.tensor(rows, dtype=torch.int64), new[:1].expand_as(new))
        ranked.append(partly.refresh(prompts, banks[0]))
        wholly.refresh(prompts, banks[1])
        assert torch.equal(partly.prototype_rows, wholly.prototype_rows)
        assert partly.selected is not None and wholly.selected is not None
        for name in ("concept", "rank", "image", "similarity"):
            assert np.array_equal(getattr(partly.selected, name), getattr(wholly.selected, name))
    total = partly.num_concepts
    assert ranked[0] == total
    assert ranked[1] == 0
    assert ranked[4] == 2
    assert ranked[5] == (total if scope == "paper" else 0)  # product f mentions nothing
    assert scope == "paper" or 0 < ranked[2] < total


def test_small_moves_add_up_to_the_tolerance(make_knowledge: Make, bank: EmbeddingBank) -> None:
    """A picture counts when it has gone further than the tolerance since, in however many steps; then from there."""
    knowledge = make_knowledge(num_candidates=4, num_prototypes=3, refresh_tolerance=0.25)
    prompts = _prompts(knowledge, 0)
    assert knowledge.refresh(prompts, bank) == knowledge.num_concepts
    step = torch.zeros(1, 32)
    step[0, 0] = 0.125
    ranked = []
    for _ in range(6):
        bank.update(torch.tensor([3]), bank.embeds[3:4].float() + step)
        ranked.append(knowledge.refresh(prompts, bank))
    own = len(concepts_of(knowledge.graph, "d"))
    moved = [i for i, count in enumerate(ranked) if count]
    assert moved in ([1, 3, 5], [2, 5])  # 0.25 after two steps but for half precision
    assert all(ranked[i] >= own for i in moved)
    assert knowledge.refresh(prompts + 0.04, bank) == 0  # 0.04 sqrt(32) = 0.23
    assert knowledge.refresh(prompts + 0.05, bank) == knowledge.num_concepts


def test_incoherent_concepts_are_left_out(graph: ConceptGraph, product_keys: np.ndarray, bank: EmbeddingBank) -> None:
    """Neither in batches nor with prototypes; an unknown coherence is no reason."""
    dress, jeans = graph.find("dress"), graph.find("jeans")
    assert dress is not None and jeans is not None
    values = np.full(len(graph), 0.9, dtype=np.float32)
    values[dress.concept_id], values[jeans.concept_id] = 0.1, np.nan
    settings = PrototypeSettings(num_candidates=4, num_prototypes=3, min_coherence=0.5)
    knowledge = ConceptKnowledge(graph.with_coherence(values), product_keys, settings)
    knowledge.refresh(_prompts(knowledge, 0), bank)
    assert (knowledge.prototype_rows[dress.concept_id] == -1).all()
    assert (knowledge.prototype_rows[jeans.concept_id] >= 0).any()
    rows = torch.arange(6)
    unique, batch = knowledge.batch(rows, bank)
    everything = set().union(*(concepts_of(graph, product) for product in PRODUCTS))
    assert set(unique.tolist()) == everything - {dress.concept_id}
    for i, product in enumerate(PRODUCTS):
        assert set(unique[batch.membership[i]].tolist()) == concepts_of(graph, product) - {dress.concept_id}


def test_coherence_is_measured_only_when_asked_for(make_knowledge: Make, bank: EmbeddingBank) -> None:
    indifferent, asking = make_knowledge(), make_knowledge(min_coherence=0.3)
    for knowledge in (indifferent, asking):
        knowledge.measure_coherence(bank)
    assert indifferent.graph.tables.coherence is None
    assert asking.graph.tables.coherence is not None
    assert len(asking.graph.tables.coherence) == asking.num_concepts


@pytest.mark.parametrize("scope", ["mentions", "paper"])
def test_rows_with_one_picture_are_one_prototype(
    graph: ConceptGraph, product_keys: np.ndarray, bank: EmbeddingBank, scope: str
) -> None:
    """Products a and c show one picture, under different augmentations: embeddings alone would keep both."""
    settings = PrototypeSettings(num_candidates=6, num_prototypes=6, scope=scope)  # type: ignore[arg-type]
    knowledge = ConceptKnowledge(graph, product_keys, settings, np.array([5, 6, 5, 7, 8, 9]))
    knowledge.refresh(_prompts(knowledge, 0), bank)
    dress = graph.find("dress")
    assert dress is not None
    rows = {row for row in knowledge.prototype_rows[dress.concept_id].tolist() if row >= 0}
    assert rows == ({0, 1} if scope == "mentions" else {0, 1, 3, 4, 5})


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """As `torch.load` gives it back, without executing anything."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return dict(torch.load(file, weights_only=True))


@pytest.mark.parametrize("tolerance", [-1.0, 0.0])
def test_knowledge_goes_on_from_its_state(make_knowledge: Make, bank: EmbeddingBank, tolerance: float) -> None:
    """The same prototypes at once and after the next refresh, which ranks the same concepts."""
    settings = {"num_candidates": 4, "num_prototypes": 3, "refresh_tolerance": tolerance, "min_coherence": 0.1}
    former, resumed = make_knowledge(**settings), make_knowledge(**settings)
    former.measure_coherence(bank)
    former.refresh(_prompts(former, 0), bank)
    resumed.load_state_dict(through_a_file(former.state_dict()))
    other = EmbeddingBank(6, 32)
    other.load_state_dict(through_a_file(bank.state_dict()))
    assert torch.equal(resumed.prototype_rows, former.prototype_rows)
    assert (former.prototype_rows >= 0).any()
    for one in (bank, other):
        one.update(torch.tensor([1]), _prompts(former, 3)[:1])
    assert resumed.refresh(_prompts(former, 0), other) == former.refresh(_prompts(former, 0), bank)
    assert torch.equal(resumed.prototype_rows, former.prototype_rows)
    assert torch.equal(resumed.batch(torch.arange(6), other)[0], former.batch(torch.arange(6), bank)[0])


def test_knowledge_without_prototypes_has_a_state(make_knowledge: Make) -> None:
    knowledge = make_knowledge()
    knowledge.load_state_dict(through_a_file(make_knowledge().state_dict()))
    assert knowledge.selected is None
    assert (knowledge.prototype_rows == -1).all()


def test_the_state_of_another_graph_is_refused(
    make_knowledge: Make, bank: EmbeddingBank, product_keys: np.ndarray
) -> None:
    knowledge = make_knowledge(num_prototypes=3)
    knowledge.refresh(_prompts(knowledge, 0), bank)
    with pytest.raises(InputError, match="saved with another concept graph"):
        make_knowledge(num_prototypes=1).load_state_dict(knowledge.state_dict())
    other = build_graph(["Red Coat"], ["a"], spacy.blank("en"), min_frequency=1)
    with pytest.raises(InputError, match="saved with another concept graph"):
        ConceptKnowledge(other, product_keys, knowledge.settings).load_state_dict(knowledge.state_dict())


def test_texts_have_their_own_concepts_and_pairs_those_of_all_texts_of_the_product(
    graph: ConceptGraph, product_keys: np.ndarray, bank: EmbeddingBank
) -> None:
    """Rows 0 and 1 are one product's: its first text says little, its second is another's in the graph."""
    keys = product_keys[[2, 2, 5]]
    found = {phrase: graph.find(phrase) for phrase in ("dress", "red dress", "jeans")}
    dress, red, jeans = (one.concept_id for one in found.values() if one is not None)
    mentions = (np.array([0, 1, 3, 4]), np.array([dress, *sorted((dress, jeans)), red]))
    joined = ConceptKnowledge(graph, keys, PrototypeSettings(), text_mentions=mentions)
    unique, batch = joined.batch(torch.tensor([0, 1, 2]), bank)
    product = concepts_of(graph, "c")
    assert jeans not in product and {dress, red} <= product
    named = [set(unique[row].tolist()) for row in batch.named]
    assert named == [{dress}, {dress, jeans}, {red}]
    true = [set(unique[row].tolist()) for row in batch.membership]
    assert true == [product, product | {jeans}, {red}]
    assert joined.occurs[jeans]  # so that it gets a vector to be served with
    plain = ConceptKnowledge(graph, keys, PrototypeSettings()).batch(torch.tensor([0]), bank)[1]
    assert torch.equal(plain.named, plain.membership)


def test_incoherent_concepts_leave_texts_too(
    graph: ConceptGraph, product_keys: np.ndarray, bank: EmbeddingBank
) -> None:
    dress, red = (one.concept_id for one in map(graph.find, ("dress", "red dress")) if one is not None)
    coherence = np.ones(len(graph), dtype=np.float32)
    coherence[dress] = 0.1
    mentions = (np.array([0, 2]), np.array(sorted((dress, red))))
    settings = PrototypeSettings(min_coherence=0.5)
    joined = ConceptKnowledge(graph.with_coherence(coherence), product_keys[:1], settings, text_mentions=mentions)
    unique, batch = joined.batch(torch.tensor([0]), bank)
    assert set(unique[batch.named[0]].tolist()) == {red}
