"""`fashionklip graph build --texts`: a graph from a table of texts, without pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easynlp_fashionklip.graph import ConceptGraph

Run = Callable[..., Any]


@pytest.fixture()
def products(tmp_path: Path) -> Path:
    colours = ("Red", "Black", "White", "Green")
    table = {
        "id": [f"p{row}" for row in range(40)],
        "title": [f"{colours[row % 4]} Striped Dress" for row in range(40)],
        "description": [f"A {colours[row % 4].lower()} dress with long sleeves." for row in range(40)],
    }
    pq.write_table(pa.table(table), tmp_path / "products.parquet")
    return tmp_path / "products.parquet"


def build(products: Path, out: Path, *more: str) -> list[str]:
    return ["graph", "build", "--texts", str(products), "--text", "title,description", "--out", str(out), *more]


def test_a_graph_of_texts(products: Path, tmp_path: Path, fashionklip_here: Run) -> None:
    outcome = fashionklip_here(build(products, tmp_path / "graph", "--id", "id"))
    assert outcome.code == 0, outcome.err
    graph = ConceptGraph.load(tmp_path / "graph")
    dress = graph.find("dress")
    assert dress is not None
    assert dress.frequency == 40
    found = graph.find("dress with long sleeve")
    assert found is not None
    assert found.frequency == 40
    assert graph.prototypes(dress.concept_id) == []
    assert graph.info.encoder == ""


def test_processes_write_the_same_files(products: Path, tmp_path: Path, fashionklip_here: Run) -> None:
    for processes in ("1", "2"):
        settings = f"mining_processes={processes} min_frequency=3"
        assert fashionklip_here(build(products, tmp_path / processes, "--set", settings)).code == 0
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--texts", "gone.parquet"], "gone.parquet is not there"),
        (["--text", "titel"], "did you mean 'title'"),
        (["--image", "image"], "leave out --image"),
        (["--set", "mining_processes=0"], "mining_processes=0 is out of range"),
        (["--ray-address", "auto"], "add --engine ray"),
        (["--set", "min_frequency=41"], "lower min_frequency"),
    ],
)
def test_bad_input(products: Path, tmp_path: Path, fashionklip_here: Run, more: list[str], words: str) -> None:
    outcome = fashionklip_here(build(products, tmp_path / "graph", *more))
    assert outcome.code == 2
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "graph").exists()


def test_a_build_without_texts_needs_pictures(tmp_path: Path, fashionklip_here: Run) -> None:
    outcome = fashionklip_here(["graph", "build", "--catalog", "x.csv", "--text", "t", "--out", str(tmp_path / "g")])
    assert outcome.code == 2
    assert "--image and --model" in outcome.err


def test_an_empty_catalogue(tmp_path: Path, fashionklip_here: Run) -> None:
    empty = pa.table({"id": pa.array([], pa.string()), "title": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "empty.parquet")
    argv = ["graph", "build", "--texts", str(tmp_path / "empty.parquet"), "--text", "title"]
    outcome = fashionklip_here([*argv, "--out", str(tmp_path / "graph")])
    assert outcome.code == 2
    assert "No concept is mentioned" in outcome.err
