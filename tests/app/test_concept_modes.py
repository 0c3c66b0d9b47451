"""Concepts in texts, from training through checkpoints to served embeddings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from easynlp_fashionklip.app import graph as graph_of_run
from easynlp_fashionklip.app.frozen import TableEncoder
from easynlp_fashionklip.app.predictor import FashionKLIPPredictor
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.graph.pipeline import load_spacy
from easynlp_fashionklip.inference.encode import encode_texts
from easynlp_fashionklip.models.concept_texts import FILES
from easynlp_fashionklip.models.zoo import load_pretrained

Run = Callable[..., Any]
TEXTS = ["Red Striped Dress", "nothing that is known"]


@pytest.fixture
def train(catalogue: Path, tmp_path: Path, easynlp_here: Run, arguments: Run) -> Run:
    """One epoch into tmp_path/out."""

    def run(parameters: str, *more: str) -> Any:
        tables = f"{catalogue / 'train.csv'},{catalogue / 'valid.csv'}"
        numbers = ("--learning_rate=1e-3", "--epoch_num=1", "--micro_batch_size=8", "--data_threads=0")
        flags = ("train", tables, f"--checkpoint_dir={tmp_path / 'out'}", *numbers, *more)
        return easynlp_here(arguments(*flags, parameters=parameters))

    return run


def test_training_moves_nodes_and_saves_what_serves(trained: Path) -> None:
    concepts = load_pretrained(trained).concepts
    assert concepts is not None
    assert concepts.weight == 1.0
    used = concepts.vectors.norm(dim=1)
    assert ((used - 1).abs() < 1e-5).any()
    assert concepts.nodes.detach().abs().sum() > 0
    assert "striped dress" in concepts.vocabulary.phrases


def test_predicted_texts_have_their_concepts(
    trained: Path, easynlp_here: Run, arguments: Run, catalogue: Path, tmp_path: Path
) -> None:
    argv = arguments("predict", catalogue / "valid.csv", f"--checkpoint_dir={trained}", "--data_threads=0")
    argv = [word for word in argv if "second_sequence" not in word]
    assert easynlp_here([*argv, f"--outputs={tmp_path / 'e.npz'}", "--append_cols=caption"]).code == 0
    with np.load(tmp_path / "e.npz") as arrays:
        served, captions = arrays["text_feat"], arrays["caption"].tolist()
    model = load_pretrained(trained)
    np.testing.assert_allclose(served, encode_texts(model, captions), atol=1e-5)
    model.concepts = None
    assert np.abs(served - encode_texts(model, captions)).max() > 0.01


def test_easynlps_predictor_finds_concepts_in_records(trained: Path) -> None:
    model = load_pretrained(trained)
    predictor = FashionKLIPPredictor(model, text="title", separator=" ")
    rows = [row["text_feat"].split(" ") for row in predictor.run([{"title": text} for text in TEXTS])]
    np.testing.assert_allclose(np.array(rows, dtype=np.float32), encode_texts(model, TEXTS), atol=1e-5)


def test_what_training_evaluates_is_what_is_served(trained: Path, catalogue: Path) -> None:
    model = load_pretrained(trained)
    table = PairTable(open_catalogue(catalogue / "valid.csv"), "caption", "image")
    evaluated = TableEncoder(model, table, batch_size=8, workers=0).embeds("evaluating").texts
    assert evaluated is not None
    np.testing.assert_allclose(evaluated, encode_texts(model, list(table.texts())), atol=1e-5)


def test_captions_of_one_product_are_trained_with_their_own_concepts(
    easynlp_here: Run, arguments: Run, catalogue: Path, tmp_path: Path, write_table: Run, rows_of: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Two rows of a product with other captions: `served` equals `trained` for both."""
    rows = rows_of(tmp_path, 16)
    for row in rows[1::2]:
        row[0] = rows[rows.index(row) - 1][0]
    table = write_table(tmp_path / "train.csv", rows)
    seen: list[Any] = []
    original = graph_of_run.ConceptKnowledge

    def spy(graph: Any, *given: Any) -> Any:
        seen.append((graph, given[-1]))
        return original(graph, *given)

    monkeypatch.setattr(graph_of_run, "ConceptKnowledge", spy)
    flags = ("--learning_rate=1e-3", "--epoch_num=1", "--micro_batch_size=8", "--data_threads=0")
    parameters = "pretrain_model_name_or_path=tiny min_frequency=1 duplicate_ids=allow"
    argv = arguments("train", table, f"--checkpoint_dir={tmp_path / 'out'}", *flags, parameters=parameters)
    outcome = easynlp_here(argv)
    assert outcome.code == 0, outcome.err
    [(graph, (offsets, ids))] = seen
    texts = list(PairTable(open_catalogue(table), "caption", "image").texts())
    expected = graph.match_many(texts, load_spacy())
    np.testing.assert_array_equal(offsets, expected[0])
    np.testing.assert_array_equal(ids, expected[1])
    of_products = graph.mentions_of([row[0] for row in rows])
    assert len(of_products[1]) > len(ids)


@pytest.mark.parametrize("weight", ["0", "1"])
def test_shuffled_concepts_are_other_pairs_concepts_in_texts_and_in_cva(
    train: Run, catalogue: Path, monkeypatch: pytest.MonkeyPatch, weight: str
) -> None:
    seen: list[Any] = []
    original = graph_of_run.ConceptKnowledge

    def spy(graph: Any, products: Any, *given: Any) -> Any:
        seen.append((products, given[-1]))
        return original(graph, products, *given)

    monkeypatch.setattr(graph_of_run, "ConceptKnowledge", spy)
    common = f"pretrain_model_name_or_path=tiny min_frequency=1 concept_text_weight={weight}"
    for value in ("false", "true"):
        outcome = train(f"{common} shuffle_concepts={value}")
        assert outcome.code == 0, outcome.err
    (products, mentions), (others, dealt) = seen
    assert sorted(products) == sorted(others)
    assert (products == others).sum() < len(products) / 4
    if weight == "0":
        assert mentions is None and dealt is None
        return
    row_of = {key: row for row, key in enumerate(products.tolist())}
    for row, key in enumerate(others.tolist()):  # pictures' and texts' concepts come from the same other row
        source = row_of[key]
        expected = mentions[1][mentions[0][source] : mentions[0][source + 1]]
        np.testing.assert_array_equal(dealt[1][dealt[0][row] : dealt[0][row + 1]], expected)


@pytest.mark.parametrize("then", ["0", "1"])
def test_resuming_needs_the_concepts_it_was_saved_with(train: Run, tmp_path: Path, then: str) -> None:
    assert train(f"pretrain_model_name_or_path=tiny min_frequency=1 concept_text_weight={then}").code == 0
    now = "1" if then == "0" else "0"
    parameters = f"pretrain_model_name_or_path=tiny min_frequency=1 concept_text_weight={now}"
    outcome = train(parameters, f"--resume_from_checkpoint={tmp_path / 'out'}")
    assert outcome.code == 2
    assert f"was saved with concept_text_weight={then}; give it again" in outcome.err


def test_a_graph_of_an_unknown_pipeline_learns_which_reads_its_texts(catalogue: Path) -> None:
    table = PairTable(open_catalogue(catalogue / "train.csv"), "caption", "image")
    config = AppConfig(min_frequency=1)
    graph = graph_of_run.mine_graph(table.subset(range(16)), config)
    unknown = ConceptGraph(replace(graph.tables, info=replace(graph.info, spacy_pipeline="")))
    assert graph_of_run.grow(unknown, table, config).info.spacy_pipeline == graph.info.spacy_pipeline != ""


def test_fine_tuning_goes_on_from_the_nodes(train: Run, trained: Path, tmp_path: Path) -> None:
    before = load_pretrained(trained).concepts
    outcome = train(f"pretrain_model_name_or_path={trained} node_learning_rate=0")
    assert outcome.code == 0, outcome.err
    after = load_pretrained(tmp_path / "out").concepts
    assert before is not None and after is not None
    known = [phrase for phrase in after.vocabulary.phrases if phrase in before.vocabulary.id_of]
    assert len(known) > 10
    for phrase in known:
        then, now = before.vocabulary.id_of[phrase], after.vocabulary.id_of[phrase]
        torch.testing.assert_close(after.nodes[now], before.nodes[then])


@pytest.mark.parametrize("parameters", ["cva=false", "concept_text_weight=0"])
def test_fine_tuning_without_concepts_leaves_none(train: Run, trained: Path, tmp_path: Path, parameters: str) -> None:
    shutil.copytree(trained, tmp_path / "out", ignore=shutil.ignore_patterns("log", "pytorch_model_step_*"))
    assert (tmp_path / "out" / FILES[0]).is_file()
    outcome = train(f"pretrain_model_name_or_path={trained} {parameters}")
    assert outcome.code == 0, outcome.err
    assert not any((tmp_path / "out" / name).exists() for name in FILES)
    assert load_pretrained(tmp_path / "out").concepts is None


def test_a_missing_pipeline_is_named(
    trained: Path, easynlp_here: Run, arguments: Run, catalogue: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "model")
    path = tmp_path / "model" / FILES[0]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"spacy_pipeline": "no_such_pipeline 1.0"}))
    argv = arguments("predict", catalogue / "valid.csv", f"--checkpoint_dir={tmp_path / 'model'}", "--data_threads=0")
    outcome = easynlp_here([*argv, f"--outputs={tmp_path / 'e.npz'}"])
    assert outcome.code == 2
    assert "no_such_pipeline" in outcome.err and "pip install" in outcome.err
    assert len(outcome.err.strip().splitlines()[-1]) < 400 and "Traceback" not in outcome.err
    assert not (tmp_path / "e.npz").exists()


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ("concept_text_weight=-1", "concept_text_weight=-1.0 is out of range"),
        ("concept_text_weight=nan", "concept_text_weight=nan is out of range"),
        ("node_learning_rate=5", "node_learning_rate=5.0 is out of range"),
        ("hierarchy=maybe", "hierarchy=maybe is not true or false"),
        ("concept_text_wieght=1", "did you mean 'concept_text_weight'"),
    ],
)
def test_settings_that_cannot_be_are_refused(train: Run, tmp_path: Path, parameters: str, sentence: str) -> None:
    outcome = train(f"pretrain_model_name_or_path=tiny {parameters}")
    assert outcome.code == 2
    assert sentence in outcome.err
    assert not (tmp_path / "out").exists()
