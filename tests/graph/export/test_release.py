"""The release's files: its field names, and a round trip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easynlp_fashionklip.graph.export import export_graph
from easynlp_fashionklip.graph.export.release import clip_pixels, image_numbers
from easynlp_fashionklip.graph.import_release import import_release
from easynlp_fashionklip.graph.prototype_pictures import open_pictures
from easynlp_fashionklip.graph.store import ConceptGraph


@pytest.fixture(scope="module")
def folder(shirts: ConceptGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("out") / "release"
    export_graph(shirts, "release", path)
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").split("\n")[:-1]]


def as_the_release_reads(path: Path, key: str, value: str) -> dict[Any, Any]:
    """A later line of the same key wins."""
    return {one[key]: one[value] for one in lines(path)}


def test_the_release_finds_its_fields(folder: Path, shirts: ConceptGraph) -> None:
    queries = folder / "concepts_queries.jsonl"
    assert as_the_release_reads(queries, "phrase", "query_id") == {c.phrase: c.concept_id for c in shirts.concepts}
    assert as_the_release_reads(queries, "query_id", "query_text")[0] == "a photo of T-Shirt"
    fathers = as_the_release_reads(folder / "concepts_fathers.jsonl", "phrase", "phrase_father")
    assert set(fathers) == set(shirts.tables.concepts.phrases)
    assert fathers["white v-neck t-shirt"] == "white t-shirt"  # the primary one of two
    assert fathers["dress"] == ""
    predicted = as_the_release_reads(folder / "concepts_predictions.jsonl", "query_id", "item_ids")
    assert predicted == {0: [0, 1, 2], 3: [1], 4: [3]}


def test_round_trip(folder: Path, shirts: ConceptGraph, tmp_path: Path) -> None:
    import_release(folder).save(tmp_path / "graph")
    back = ConceptGraph.load(tmp_path / "graph")
    assert back.concepts == shirts.concepts
    assert back.tables.concepts.modifiers == shirts.tables.concepts.modifiers
    for name in ("child", "parent", "primary", "depth"):
        np.testing.assert_array_equal(getattr(back.tables.hierarchy, name), getattr(shirts.tables.hierarchy, name))
    for concept_id in range(len(shirts)):
        assert back.prototypes(concept_id) == shirts.prototypes(concept_id)


def test_round_trip_of_a_mined_graph_without_prototypes(graph: ConceptGraph, tmp_path: Path) -> None:
    export_graph(graph, "release", tmp_path / "release")
    back = import_release(tmp_path / "release")
    assert back.concepts == graph.concepts
    assert back.info.encoder == "" and not back.tables.prototypes.image_ids
    assert (tmp_path / "release" / "concepts_predictions.jsonl").read_text() == ""


def test_numbers_of_images() -> None:
    assert image_numbers(["7", "94", "7"]) == {"7": 7, "94": 94}
    assert image_numbers(["007", "94"]) == {"007": 0, "94": 1}
    assert image_numbers(["\u0664", "9" * 30]) == {"\u0664": 0, "9" * 30: 1}


def test_pixels(make_graph: Callable[..., ConceptGraph], tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "red.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "t.csv").write_text("id,image\n7,red.png\n8,bad.png\n7,red.png\n")
    graph = make_graph([("dress", "dress", (), 1)], {0: [("7", 0.5), ("8", 0.4), ("9", 0.3)]})
    export_graph(graph, "release", tmp_path / "out", pictures=open_pictures(graph, tmp_path / "t.csv", "image"))
    with np.load(tmp_path / "out" / "concepts_images.224.npz") as pixels:
        assert list(pixels) == ["7"]
        assert pixels["7"].shape == (3, 224, 224) and pixels["7"].dtype == np.float32
        np.testing.assert_allclose(pixels["7"][:, 100, 100], [1.93033624, -1.75209713, -1.48021977], rtol=1e-5)


def test_clip_pixels_cuts_the_centre() -> None:
    image = Image.new("RGB", (448, 224), "black")
    image.paste("white", (112, 0, 336, 224))
    values = clip_pixels(image)
    assert values.min() == values.max(axis=(1, 2)).min() > 1.9
