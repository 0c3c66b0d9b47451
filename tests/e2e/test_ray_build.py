"""`fashionklip graph build --engine ray`: a Ray that the command starts mines texts and embeds pictures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from easynlp_fashionklip.app import graph_build
from easynlp_fashionklip.graph import ConceptGraph

Run = Callable[..., Any]


def build(catalogue: Path, out: Path, *more: str) -> list[str]:
    argv = ["graph", "build", "--catalog", str(catalogue / "train.csv"), "--text", "caption", "--image", "image"]
    return [*argv, "--model", "tiny", "--out", str(out), "--set", "num_prototypes=4 data_workers=0", *more]


MAIN = """
import sys
from easynlp_fashionklip.cli import fashionklip_main
sys.exit(fashionklip_main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_ray_writes_the_same_graph(catalogue: Path, tmp_path: Path) -> None:
    """In processes of their own: a Ray that was started here would be in the way of other tests' clusters."""
    pytest.importorskip("ray.data")
    for name in ("local", "ray"):
        command = [sys.executable, "-c", MAIN, *build(catalogue, tmp_path / name, "--engine", name)]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        assert outcome.returncode == 0, outcome.stderr
        assert name == "local" or "ray" in outcome.stderr.lower()
    for path in (tmp_path / "local").iterdir():
        assert path.read_bytes() == (tmp_path / "ray" / path.name).read_bytes(), path.name
    graph = ConceptGraph.load(tmp_path / "ray")
    dress = graph.find("dress")
    assert dress is not None
    assert len(graph.prototypes(dress.concept_id)) == 4


def test_an_address_needs_the_ray_engine(
    catalogue: Path, tmp_path: Path, fashionklip_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_build, "load_encoder", lambda *given, **more: pytest.fail("told too late"))
    outcome = fashionklip_here(build(catalogue, tmp_path / "graph", "--ray-address", "auto"))
    assert outcome.code == 2
    assert "add --engine ray" in outcome.err
    assert not (tmp_path / "graph").exists()
