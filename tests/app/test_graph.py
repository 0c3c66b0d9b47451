"""The graph of a training run: grown by what the training texts bring, saved with its prototypes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from easynlp_fashionklip.app.graph import grow, prepare_graph, save_graph
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.freezing import parse_freezing
from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.pipeline import load_spacy
from easynlp_fashionklip.models.zoo import load_pretrained
from easynlp_fashionklip.training import knowledge
from easynlp_fashionklip.training.task import FashionKLIPTask

Run = Callable[..., Any]
OTHER_TEXTS = ["Red Dress", "Blue Hat", "Blue Plain Hat", "Red Striped Hat"]
OTHER_IDS = ["o1", "o2", "o3", "o4"]


@pytest.fixture
def table(catalogue: Path) -> PairTable:
    return PairTable(open_catalogue(catalogue / "train.csv"), "caption", "image")


@pytest.fixture
def other(tmp_path: Path) -> ConceptGraph:
    """A graph of other products, some of whose concepts the training texts mention too; saved in tmp_path/graph."""
    graph = build_graph(OTHER_TEXTS, OTHER_IDS, load_spacy(""), min_frequency=1)
    graph.save(tmp_path / "graph")
    return graph


def a_task(table: PairTable, config: AppConfig, freeze: str = "") -> FashionKLIPTask:
    model = load_pretrained("tiny")
    model.freeze(parse_freezing(freeze))
    return FashionKLIPTask(model, config, len(table))


@pytest.mark.parametrize("freeze", ["", "both"])
def test_concepts_of_the_training_texts_join_a_graph_of_others(
    table: PairTable, other: ConceptGraph, tmp_path: Path, freeze: str
) -> None:
    """Known concepts keep their numbers; new ones follow, with prototypes; all of it is in the folder."""
    config = AppConfig(graph_dir=str(tmp_path / "graph"), data_workers=0, num_prototypes=3, num_candidates=6)
    task = a_task(table, config, freeze)
    prepare_graph(task, table, config, str(tmp_path))
    saved = ConceptGraph.load(tmp_path / "graph")
    assert [one.phrase for one in saved.concepts[: len(other)]] == [one.phrase for one in other.concepts]
    new = saved.concepts[len(other) :]
    assert "skirt" in {one.phrase for one in new}
    assert all(saved.prototypes(one.concept_id) for one in new)
    products = {table.product_id(row) for row in range(len(table))}
    for concept in saved.concepts:
        chosen = [prototype.image_id for prototype in saved.prototypes(concept.concept_id)]
        assert set(chosen) <= products
    dress, hat = saved.find("dress"), saved.find("hat")
    assert dress is not None and hat is not None
    assert dress.concept_id < len(other) and saved.prototypes(dress.concept_id)
    assert saved.prototypes(hat.concept_id) == []  # no training text mentions one
    assert task.knowledge is not None
    unique, _ = task.knowledge.batch(torch.arange(len(table)), task.bank)
    assert set(unique.tolist()) == set(saved.mentions_of(sorted(products))[1].tolist())
    assert {one.concept_id for one in new} <= set(unique.tolist())


def test_a_second_run_finds_nothing_new(table: PairTable, other: ConceptGraph, tmp_path: Path) -> None:
    config = AppConfig(graph_dir=str(tmp_path / "graph"), data_workers=0)
    prepare_graph(a_task(table, config), table, config, str(tmp_path))
    grown = ConceptGraph.load(tmp_path / "graph")
    assert grow(grown, table, config) is grown
    assert len(grown) > len(other)


def test_training_through_the_command_grows_and_saves_the_graph(
    catalogue: Path, other: ConceptGraph, tmp_path: Path, easynlp_here: Run, arguments: Run
) -> None:
    quick = ("--learning_rate=1e-3", "--micro_batch_size=8", "--random_seed=42", "--data_threads=0", "--epoch_num=1")
    parameters = f"pretrain_model_name_or_path=tiny graph_dir={tmp_path / 'graph'}"
    folder = f"--checkpoint_dir={tmp_path / 'out'}"
    outcome = easynlp_here(arguments("train", catalogue / "train.csv", folder, *quick, parameters=parameters))
    assert outcome.code == 0, outcome.err
    saved = ConceptGraph.load(tmp_path / "graph")
    assert [one.phrase for one in saved.concepts[: len(other)]] == [one.phrase for one in other.concepts]
    assert all(saved.prototypes(one.concept_id) for one in saved.concepts[len(other) :])


def test_new_concepts_of_a_graph_with_coherence_are_measured(
    table: PairTable, other: ConceptGraph, tmp_path: Path
) -> None:
    """What the graph knew stays; concepts that joined are no longer unknown where three pictures show them."""
    known = np.full(len(other), 0.9, dtype=np.float32)
    other.with_coherence(known).save(tmp_path / "graph")
    config = AppConfig(graph_dir=str(tmp_path / "graph"), data_workers=0, min_coherence=0.0)
    prepare_graph(a_task(table, config), table, config, str(tmp_path))
    coherence = ConceptGraph.load(tmp_path / "graph").tables.coherence
    assert coherence is not None
    np.testing.assert_array_equal(coherence[: len(other)], known)
    assert not np.isnan(coherence[len(other) :]).all()


def test_a_graph_that_no_training_text_mentions_is_refused(table: PairTable, tmp_path: Path) -> None:
    """The products are known to the graph, by other texts."""
    ids = [table.product_id(row) for row in range(len(table))]
    graph = build_graph(["Red Hat", *("Lorem" for _ in ids[1:])], ids, load_spacy(""), min_frequency=1)
    graph.save(tmp_path / "graph")
    part = table.subset(list(range(1, len(table))))
    config = AppConfig(graph_dir=str(tmp_path / "graph"), data_workers=0)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "graph").iterdir())
    with pytest.raises(InputError, match=r"none of the \d concepts of .*graph is mentioned in .*train.csv.*cva=false"):
        prepare_graph(a_task(part, config), part, config, str(tmp_path))
    assert sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "graph").iterdir()) == before


def test_a_threshold_that_no_concept_reaches_is_refused(
    table: PairTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = AppConfig(graph_dir=str(tmp_path / "graph"), data_workers=0, min_coherence=0.5)
    monkeypatch.setattr(knowledge, "visual_coherence", lambda _, offsets, __: np.full(len(offsets) - 1, 0.1))
    with pytest.raises(InputError, match=r"min_coherence=0.5 leaves none of \d+ concepts to train with"):
        prepare_graph(a_task(table, config), table, config, str(tmp_path))
    assert not (tmp_path / "graph").exists()


def test_without_prototypes_nothing_is_saved(table: PairTable, tmp_path: Path) -> None:
    config = AppConfig(graph_dir=str(tmp_path / "graph"), data_workers=0)
    task = a_task(table, config)
    prepare_graph(task, table, config, str(tmp_path), encode=False)
    save_graph(task, table, config, str(tmp_path))
    assert not (tmp_path / "graph").exists()
