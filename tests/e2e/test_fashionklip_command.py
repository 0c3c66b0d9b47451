"""`fashionklip graph build | stats | show`, `sample`, `zoo`, `doctor`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from easynlp_fashionklip.graph import ConceptGraph

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def built(catalogue: Path, tmp_path_factory: pytest.TempPathFactory, fashionklip_here: Run) -> tuple[Path, Any]:
    """A graph built by the command, and what the command left."""
    out = tmp_path_factory.mktemp("built") / "graph"
    argv = ["graph", "build", "--catalog", str(catalogue / "train.csv"), "--text", "caption", "--image", "image"]
    settings = "min_frequency=2 num_prototypes=4 num_candidates=8 data_workers=0"
    return out, fashionklip_here([*argv, "--model", "tiny", "--out", str(out), "--set", settings])


def test_build(built: tuple[Path, Any]) -> None:
    folder, outcome = built
    assert outcome.code == 0, outcome.err
    graph = ConceptGraph.load(folder)
    dress = graph.find("dress")
    assert dress is not None
    assert dress.frequency == 8
    assert len(graph.prototypes(dress.concept_id)) == 4
    assert {graph.concepts[child].phrase for child in graph.children(dress.concept_id)} & {"striped dress", "red dress"}
    assert graph.info.encoder == "tiny"


def test_stats(built: tuple[Path, Any], fashionklip_here: Run) -> None:
    outcome = fashionklip_here(["graph", "stats", "--graph", str(built[0]), "--top", "5"])
    assert outcome.code == 0
    assert "dress" in outcome.out
    assert str(len(ConceptGraph.load(built[0]))) in outcome.out


def test_show(built: tuple[Path, Any], fashionklip_here: Run) -> None:
    outcome = fashionklip_here(["graph", "show", "Dresses", "--graph", str(built[0])])
    assert outcome.code == 0, outcome.err
    assert "striped dress" in outcome.out
    graph = ConceptGraph.load(built[0])
    dress = graph.find("dress")
    assert dress is not None
    prototypes = [one.image_id for one in graph.prototypes(dress.concept_id)]
    assert [word for word in outcome.out.split() if word in prototypes] == prototypes


def test_show_an_unknown_phrase(built: tuple[Path, Any], fashionklip_here: Run) -> None:
    outcome = fashionklip_here(["graph", "show", "dres", "--graph", str(built[0])])
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert "dres" in outcome.err


def test_build_refuses_a_folder_that_has_a_graph_or_anything_else(
    built: tuple[Path, Any], catalogue: Path, fashionklip_here: Run
) -> None:
    argv = ["graph", "build", "--catalog", str(catalogue / "train.csv"), "--text", "caption", "--image", "image"]
    argv += ["--model", "tiny", "--out"]
    again = fashionklip_here([*argv, str(built[0])])
    assert again.code == 2
    assert "already holds a concept graph" in again.err
    other = fashionklip_here([*argv, str(catalogue)])
    assert other.code == 2
    assert not (catalogue / "graph.json").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--text", "tilte"], "its columns are product_id, image, caption"),
        (["--catalog", "gone.csv"], "gone.csv"),
        (["--model", "tinny"], "did you mean 'tiny'"),
        (["--set", "min_freq=3"], "did you mean 'min_frequency'"),
    ],
)
def test_build_with_bad_input(
    catalogue: Path, tmp_path: Path, fashionklip_here: Run, more: list[str], words: str
) -> None:
    argv = ["graph", "build", "--catalog", str(catalogue / "train.csv"), "--text", "caption", "--image", "image"]
    outcome = fashionklip_here([*argv, "--model", "tiny", "--out", str(tmp_path / "graph"), *more])
    assert outcome.code == 2
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "graph").exists()


def test_stats_of_no_graph(tmp_path: Path, fashionklip_here: Run) -> None:
    outcome = fashionklip_here(["graph", "stats", "--graph", str(tmp_path)])
    assert outcome.code == 2
    assert "graph.json" in outcome.err


def test_sample_can_be_trained_on(tmp_path: Path, fashionklip_here: Run, easynlp_here: Run, arguments: Run) -> None:
    outcome = fashionklip_here(["sample", "--out", str(tmp_path / "sample"), "--products", "40", "--seed", "3"])
    assert outcome.code == 0, outcome.err
    table = tmp_path / "sample" / "train.csv"
    flags = ("--epoch_num=0.5", "--micro_batch_size=8", "--data_threads=0", f"--checkpoint_dir={tmp_path / 'out'}")
    trained = easynlp_here(arguments("train", table, *flags))
    assert trained.code == 0, trained.err
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_zoo_lists_names_and_licences(fashionklip_here: Run) -> None:
    outcome = fashionklip_here(["zoo"])
    assert outcome.code == 0
    assert "starter" in outcome.out
    assert "Apache-2.0" in outcome.out


def test_doctor_through_the_real_script(run_script: Run, tmp_path: Path) -> None:
    outcome = run_script("fashionklip", ["doctor"], tmp_path)
    lines = {line[6:28].strip(): line for line in outcome.out.splitlines()}
    assert lines["easynlp command"].startswith("ok"), outcome.out
    assert lines["pai-easynlp"].startswith("ok")
    assert outcome.code == int("WRONG" in outcome.out)
    assert outcome.err == ""
