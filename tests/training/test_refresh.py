"""Prototypes are the same bit for bit on every process, whatever their number; only what occurs is ranked."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from processes import on_processes

from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.pairs import stable_key
from easynlp_fashionklip.freezing import parse_freezing
from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.models.zoo import load_pretrained
from easynlp_fashionklip.training import refresh
from easynlp_fashionklip.training.knowledge import ConceptKnowledge, PrototypeSettings
from easynlp_fashionklip.training.task import FashionKLIPTask

spacy = pytest.importorskip("spacy")

COLOURS = ("Red", "Blue", "Long", "Green", "Black", "Extraordinarily")
GARMENTS = ("Dress", "Jeans", "Coat", "Skirt", "Cardigan")
TEXTS = [f"{one} {other} {garment}" for one, other, garment in product(COLOURS, COLOURS, GARMENTS) if one != other]
PRODUCT_IDS = [f"p{number}" for number in range(len(TEXTS))]


@pytest.fixture(scope="module")
def many() -> ConceptGraph:
    return build_graph(TEXTS, PRODUCT_IDS, spacy.blank("en"), min_frequency=1)


def make_task(
    graph: ConceptGraph, freeze: str = "none", prompt_gradient: bool = True, **settings: Any
) -> FashionKLIPTask:
    """`tiny` over the products of TEXTS, a bank of random pictures, no prototypes yet."""
    model = load_pretrained("tiny")
    model.freeze(parse_freezing(freeze))
    task = FashionKLIPTask(model, AppConfig(prompt_gradient=prompt_gradient), len(TEXTS))
    keys = np.array([stable_key(one) for one in PRODUCT_IDS], dtype=np.int64)
    task.attach(ConceptKnowledge(graph, keys, PrototypeSettings(num_candidates=6, num_prototypes=3, **settings)))
    random = torch.Generator().manual_seed(0)
    task.bank.fill(F.normalize(torch.randn(len(TEXTS), 32, generator=random), dim=1).numpy())
    return task


Outcome = tuple[list[np.ndarray], list[int]]


def rounds(task: FashionKLIPTask) -> Outcome:
    """Three refreshes: the first, one after two pictures and the encoder have changed, one after nothing has."""
    tables, ranked = [], []
    for number in range(3):
        if number == 1:
            task.bank.update(torch.tensor([3, 70]), F.normalize(torch.ones(2, 32), dim=1))
            with torch.no_grad():
                task.model.backend.model.text_projection.weight[0] *= 1.5
        report = task.refresh_prototypes()
        assert report is not None and task.knowledge is not None and task.knowledge.selected is not None
        ranked.append(report.ranked)
        table = task.knowledge.selected
        tables += [table.concept, table.rank, table.image, table.similarity, task.knowledge.prototype_rows.numpy()]
    return tables, ranked


def _rounds(task: FashionKLIPTask, prompts_at_once: int) -> Outcome:
    """`rounds` on one of several processes."""
    refresh.PROMPTS_AT_ONCE = prompts_at_once
    return rounds(task)


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize(
    ("freeze", "settings"),
    [
        ("none", {}),
        ("text", {}),
        ("none", {"prompt_gradient": False}),
        ("none", {"refresh_tolerance": 0.0}),
        ("none", {"scope": "paper"}),
    ],
    ids=["trained", "frozen", "kept", "tolerance", "paper"],
)
def test_any_number_of_processes_comes_to_the_same_bits(
    many: ConceptGraph, monkeypatch: pytest.MonkeyPatch, freeze: str, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(refresh, "PROMPTS_AT_ONCE", 16)
    tables, ranked = rounds(make_task(many, freeze, **settings))
    assert len(many) > 100
    assert ranked[0] == len(many)
    assert not np.array_equal(tables[3], tables[8])  # the change shows
    for world in (2, 3):
        for found, counts in on_processes(world, _rounds, make_task(many, freeze, **settings), 16):
            assert counts == ranked
            for one, other in zip(found, tables, strict=True):
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("on_the_cpu")
def test_more_processes_than_blocks_of_prompts(many: ConceptGraph) -> None:
    """All prompts fit into two blocks: the third process encodes nothing."""
    expected, _ = rounds(make_task(many))
    for found, _ in on_processes(3, _rounds, make_task(many), refresh.PROMPTS_AT_ONCE):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_only_concepts_that_occur_are_encoded_and_ranked(many: ConceptGraph) -> None:
    """A table of six of the graph's products: their concepts and what lies above them."""
    rows = [0, 1, 2, 50, 51, 52]
    task = make_task(many)
    knowledge = ConceptKnowledge(
        many, np.array([stable_key(PRODUCT_IDS[row]) for row in rows], dtype=np.int64), PrototypeSettings()
    )
    occurring = set(many.mentions_of([PRODUCT_IDS[row] for row in rows])[1].tolist())
    occurring |= {above for one in occurring for above in many.ancestors(one)}
    asked: list[int] = []

    def encode(concepts: torch.Tensor) -> torch.Tensor:
        asked.extend(concepts.tolist())
        return task.encode_concepts(concepts).detach()

    task.attach(knowledge)
    report = refresh.refresh(knowledge, task.bank, encode)
    assert sorted(asked) == sorted(occurring)
    assert (report.ranked, report.concepts) == (len(occurring), len(occurring))
    assert knowledge.selected is not None
    assert set(knowledge.selected.concept.tolist()) == occurring
    assert 0 < len(occurring) < len(many)


def test_the_report_tells_its_share_of_the_time(many: ConceptGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 102.0, 120.0, 122.0])
    monkeypatch.setattr(refresh.time, "perf_counter", lambda: next(times))
    task = make_task(many)
    first, second = task.refresh_prototypes(), task.refresh_prototypes()
    assert first is not None and second is not None
    assert (first.seconds, first.seconds_between, first.share) == (2.0, 0.0, 0.0)
    assert (second.seconds, second.seconds_between, second.share) == (2.0, 18.0, 0.1)
    total = f"{len(many):,} of {len(many):,}"
    assert str(second) == f"prototypes of {total} concepts chosen in 2.0 s, 10.0 % of the time"
    assert str(first) == f"prototypes of {total} concepts chosen in 2.0 s"


def test_without_a_graph_nothing_is_refreshed(make_task: Callable[..., FashionKLIPTask]) -> None:
    assert make_task(graph=False).refresh_prototypes() is None
