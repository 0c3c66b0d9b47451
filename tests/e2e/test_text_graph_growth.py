"""`fashionklip graph build|expand --texts`: graphs of texts alone, odd texts and unusable ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from growing import by_texts, bytes_of, described, write_texts

from easynlp_fashionklip.graph import ConceptGraph

Run = Callable[..., Any]
ODD = [
    "Red dress \U0001f457\U0001f525 with long sleeves",
    "فستان أحمر بأكمام طويلة",
    "红色长袖连衣裙",
    "Red\x00 dress\x07 with\x1b[31m pockets\ufffd",
    "red dress " * 10_000,
    "a" * 100_000,
    "",
]


def test_texts_grow_a_graph_of_texts(tmp_path: Path, fashionklip_here: Run) -> None:
    texts = [f"{colour} {kind} with a hood" for colour in ("Red", "Black", "Blue") for kind in ("Dress", "Coat") * 2]
    old, new, whole = texts[:5], texts[5:], texts
    assert fashionklip_here(by_texts("build", write_texts(tmp_path / "old.parquet", old), tmp_path / "graph")).code == 0
    added = write_texts(tmp_path / "new.parquet", new, len(old))
    outcome = fashionklip_here(by_texts("expand", added, tmp_path / "graph"))
    assert outcome.code == 0, outcome.err
    assert fashionklip_here(by_texts("build", write_texts(tmp_path / "all.parquet", whole), tmp_path / "all")).code == 0
    graphs = [ConceptGraph.load(tmp_path / name) for name in ("graph", "all")]
    assert described(graphs[0]) == described(graphs[1])


def test_odd_texts_do_no_harm(tmp_path: Path, fashionklip_here: Run) -> None:
    texts = write_texts(tmp_path / "odd.parquet", [*ODD, "Red dress", "Red dress"])
    outcome = fashionklip_here(by_texts("build", texts, tmp_path / "graph"))
    assert outcome.code == 0, outcome.err
    graph = ConceptGraph.load(tmp_path / "graph")
    found = graph.find("red dress")
    assert found is not None and found.frequency == 5
    assert all(len(phrase) < 60 for phrase in graph.tables.concepts.phrases)


@pytest.mark.parametrize("texts", [["and so on", "of the", "very nice indeed"], ["", ""]])
def test_a_catalogue_without_nouns(texts: list[str], tmp_path: Path, fashionklip_here: Run) -> None:
    outcome = fashionklip_here(by_texts("build", write_texts(tmp_path / "t.parquet", texts), tmp_path / "graph"))
    assert outcome.code == 2
    assert "No concept is mentioned" in outcome.err
    assert not (tmp_path / "graph").exists()


def test_what_fails_at_once_leaves_nothing(tmp_path: Path, fashionklip_here: Run) -> None:
    pytest.importorskip("ray.data")
    texts = write_texts(tmp_path / "t.parquet", ["Red dress", "Red dress"])
    more = ["--engine", "ray", "--ray-address", "127.0.0.1:1"]
    outcome = fashionklip_here([*by_texts("build", texts, tmp_path / "graph"), *more])
    assert outcome.code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_texts_without_product_ids_are_refused(tmp_path: Path, fashionklip_here: Run) -> None:
    for name, garment in (("old", "dress"), ("new", "coat")):
        pq.write_table(pa.table({"text": [f"Red {garment}"] * 3}), tmp_path / f"{name}.parquet")
    assert fashionklip_here(by_texts("build", tmp_path / "old.parquet", tmp_path / "graph")).code == 0
    before = bytes_of(tmp_path / "graph")
    outcome = fashionklip_here(by_texts("expand", tmp_path / "new.parquet", tmp_path / "graph"))
    assert outcome.code == 2
    assert "has no column of product ids" in outcome.err and "--id COLUMN" in outcome.err
    assert bytes_of(tmp_path / "graph") == before


def test_an_unreadable_parquet_file(tmp_path: Path, fashionklip_here: Run) -> None:
    texts = write_texts(tmp_path / "t.parquet", ["Red Dress", "Red Dress"])
    assert fashionklip_here(by_texts("build", texts, tmp_path / "graph")).code == 0
    before = bytes_of(tmp_path / "graph")
    (tmp_path / "bad.parquet").write_bytes(texts.read_bytes()[:-20])
    outcome = fashionklip_here(by_texts("expand", tmp_path / "bad.parquet", tmp_path / "graph"))
    assert outcome.code == 2
    assert "bad.parquet cannot be read as Parquet" in outcome.err
    assert bytes_of(tmp_path / "graph") == before
