"""An ONNX export in the three modes: predicted with, evaluated, not trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.models.zoo import load_pretrained

pytest.importorskip("onnxruntime")

from easynlp_fashionklip.inference.onnx_export import export_onnx

Run = Callable[..., Any]
TINY = "pretrain_model_name_or_path=tiny precision=fp32"


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained checkpoint as ONNX; tests must not change it."""
    folder = tmp_path_factory.mktemp("export") / "onnx"
    (folder.parent / "checkpoint").symlink_to(trained)
    export_onnx(load_pretrained(trained), folder)
    return folder


@pytest.fixture
def run(catalogue: Path, easynlp_here: Run, arguments: Run) -> Run:
    """Runs a mode on valid.csv."""

    def start(mode: str, *more: str, parameters: str = TINY, code: int = 0) -> Any:
        outcome = easynlp_here(
            arguments(mode, catalogue / "valid.csv", "--data_threads=0", *more, parameters=parameters)
        )
        assert outcome.code == code, outcome.err
        assert "Traceback" not in outcome.err
        return outcome

    return start


def test_predictions_are_the_checkpoints(run: Run, trained: Path, exported: Path, tmp_path: Path) -> None:
    for name, folder in (("torch", trained), ("onnx", exported)):
        run("predict", f"--checkpoint_dir={folder}", f"--outputs={tmp_path}/{name}.npz")
    found, expected = np.load(tmp_path / "onnx.npz"), np.load(tmp_path / "torch.npz")
    for column in ("text_feat", "image_feat"):
        np.testing.assert_allclose(found[column], expected[column], atol=1e-4)
        assert len(np.unique(expected[column].round(3), axis=0)) > 10


def test_an_export_may_be_named_as_the_pretrained_model(run: Run, exported: Path, tmp_path: Path) -> None:
    run("predict", f"--outputs={tmp_path}/a.npz", parameters=f"pretrain_model_name_or_path={exported}")
    run("predict", f"--outputs={tmp_path}/b.npz", f"--checkpoint_dir={exported}")
    one, other = np.load(tmp_path / "a.npz"), np.load(tmp_path / "b.npz")
    np.testing.assert_array_equal(one["image_feat"], other["image_feat"])


def test_evaluation_gives_the_checkpoints_scores(run: Run, trained: Path, exported: Path, tmp_path: Path) -> None:
    for name, folder in (("torch", trained), ("onnx", exported)):
        run("evaluate", f"--checkpoint_dir={folder}", f"--outputs={tmp_path}/{name}.json")
    found, expected = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("onnx", "torch"))
    assert found["checkpoint"] == str(exported)
    assert found["mean_recall"] == pytest.approx(expected["mean_recall"], abs=0.01)
    assert found["mean_recall"] > 0


def test_training_refuses_it(run: Run, exported: Path, tmp_path: Path) -> None:
    start = f"pretrain_model_name_or_path={exported}"
    outcome = run("train", f"--checkpoint_dir={tmp_path}/out", parameters=start, code=2)
    assert "is an ONNX export, which cannot be trained; give the checkpoint" in outcome.err
    assert not (tmp_path / "out").exists()
    before = sorted(path.name for path in exported.iterdir())
    outcome = run("train", f"--checkpoint_dir={exported}", code=2)
    assert "holds an ONNX export; train into another folder" in outcome.err
    assert sorted(path.name for path in exported.iterdir()) == before


def test_bad_exports_end_in_one_sentence(run: Run, exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "onnx")
    target = f"--outputs={tmp_path}/out.npz"
    outcome = run("predict", f"--checkpoint_dir={folder}", target, parameters=f"{TINY} image_size=64", code=2)
    assert "was exported for pictures of 32 px" in outcome.err
    (folder / "image.onnx").write_bytes(b"damaged")
    assert "image.onnx is damaged" in run("predict", f"--checkpoint_dir={folder}", target, code=2).err
    (folder / "image.onnx").unlink()
    assert "lacks image.onnx" in run("evaluate", f"--checkpoint_dir={folder}", code=2).err
    assert not (tmp_path / "out.npz").exists()


def test_half_precision_where_it_is_asked_for(run: Run, trained: Path, tmp_path: Path) -> None:
    for precision in ("fp32", "bf16", "auto"):
        parameters = f"pretrain_model_name_or_path=tiny precision={precision}"
        run("predict", f"--checkpoint_dir={trained}", f"--outputs={tmp_path}/{precision}.npz", parameters=parameters)
    exact, half, default = (np.load(tmp_path / f"{name}.npz")["image_feat"] for name in ("fp32", "bf16", "auto"))
    np.testing.assert_array_equal(exact, default)
    assert 0 < np.abs(exact - half).max() < 0.05
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-5)


def test_a_graph_is_built_with_it(fashionklip_here: Run, catalogue: Path, exported: Path, tmp_path: Path) -> None:
    prototypes = {}
    for name, model in (("torch", exported.parent / "checkpoint"), ("onnx", exported)):
        argv = ["graph", "build", "--catalog", str(catalogue / "valid.csv"), "--text", "caption", "--image", "image"]
        argv += ["--model", str(model), "--out", str(tmp_path / name), "--set", "min_frequency=1 data_workers=0"]
        outcome = fashionklip_here(argv)
        assert outcome.code == 0, outcome.err
        graph = ConceptGraph.load(tmp_path / name)
        dress = graph.find("dress")
        assert dress is not None
        prototypes[name] = {one.image_id: one.similarity for one in graph.prototypes(dress.concept_id)}
    assert prototypes["onnx"] == pytest.approx(prototypes["torch"], abs=1e-3)
