"""The CSV files of neo4j-admin."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from easynlp_fashionklip.graph.export import export_graph
from easynlp_fashionklip.graph.store import ConceptGraph

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def files(shirts: ConceptGraph, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    folder = tmp_path_factory.mktemp("out") / "neo4j"
    export_graph(shirts, "neo4j", folder)
    return {path.name: read(path) for path in folder.iterdir()}


def read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_the_headers_are_those_of_neo4j_admin(files: dict[str, Rows]) -> None:
    assert {name: list(rows[0]) for name, rows in files.items()} == {
        "concepts.csv": [
            "conceptId:ID(Concept)", "phrase", "surface", "head", "depth:long", "frequency:long", ":LABEL",
        ],
        "images.csv": ["imageId:ID(Image)", ":LABEL"],
        "is_a.csv": [":START_ID(Concept)", ":END_ID(Concept)", "primary:boolean", ":TYPE"],
        "prototype_of.csv": [":START_ID(Image)", ":END_ID(Concept)", "rank:long", "similarity:double", ":TYPE"],
    }  # fmt: skip


def test_concepts(files: dict[str, Rows], shirts: ConceptGraph) -> None:
    found = [tuple(row.values()) for row in files["concepts.csv"]]
    expected = [(c.concept_id, c.phrase, c.surface, c.head, c.depth, c.frequency, "Concept") for c in shirts.concepts]
    assert found == [tuple(map(str, row)) for row in expected]


def test_is_a_goes_from_child_to_parent(files: dict[str, Rows]) -> None:
    found = [tuple(row.values()) for row in files["is_a.csv"]]
    assert found == [
        ("1", "0", "true", "IS_A"),
        ("2", "0", "true", "IS_A"),
        ("3", "1", "true", "IS_A"),
        ("3", "2", "false", "IS_A"),
    ]


def test_prototypes_point_to_images_that_are_there_once(files: dict[str, Rows], shirts: ConceptGraph) -> None:
    images = [row["imageId:ID(Image)"] for row in files["images.csv"]]
    assert images == ["p1", "p2", "p1#1", 'he said "p", \n<3>']
    rows = files["prototype_of.csv"]
    assert {row[":START_ID(Image)"] for row in rows} == set(images)
    assert [(row[":END_ID(Concept)"], row["rank:long"]) for row in rows] == [
        ("0", "0"), ("0", "1"), ("0", "2"), ("3", "0"), ("4", "0"),
    ]  # fmt: skip
    found = np.array([float(row["similarity:double"]) for row in rows], dtype=np.float32)
    np.testing.assert_array_equal(found, shirts.tables.prototypes.similarity)
