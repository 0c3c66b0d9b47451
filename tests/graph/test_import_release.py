"""Graphs from files that others wrote in the release's schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.import_release import import_release

QUERY = {"query_id": 15, "query_text": "a photo of woman sunglasses", "phrase": "woman sunglasses"}
FATHER = {"query_id": 15, "phrase": "woman sunglasses", "phrase_father": "sunglasses"}


def write(folder: Path, name: str, *records: Any) -> Path:
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in records)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def release(folder: Path, queries: list[Any], fathers: list[Any], prefix: str = "") -> Path:
    write(folder, f"{prefix}concepts_queries.jsonl", *queries)
    return write(folder, f"{prefix}concepts_fathers.jsonl", *fathers)


def test_the_example_of_its_readme(tmp_path: Path) -> None:
    graph = import_release(release(tmp_path, [QUERY, ""], [FATHER], prefix="icbu_"))
    assert [c.phrase for c in graph.concepts] == ["woman sunglasses", "sunglasses"]
    assert graph.parents(0) == [1] and graph.primary_parent(0) == 1
    assert [c.depth for c in graph.concepts] == [1, 0]
    assert graph.concepts[0].head == "sunglasses"
    assert graph.prompts() == ["a photo of woman sunglasses", "a photo of sunglasses"]


def test_the_last_father_is_the_primary_one(tmp_path: Path) -> None:
    queries = [{"query_id": i, "query_text": f"a photo of {p}", "phrase": p} for i, p in enumerate("abc")]
    fathers = [{"phrase": "a", "phrase_father": father} for father in ("c", "b", "c", "a", "")]
    graph = import_release(release(tmp_path, queries, fathers))
    assert graph.parents(0) == [1, 2] and graph.primary_parent(0) == 2


def test_two_orders_of_the_same_words_stay_two_concepts_that_can_grow(tmp_path: Path, blank: Any) -> None:
    phrases = ["soft black dress", "black soft dress"]
    queries = [{"query_id": i, "query_text": p, "phrase": p} for i, p in enumerate(phrases)]
    graph = import_release(release(tmp_path, queries, []), min_frequency=1)
    grown = graph.expand(["Black Dress"], ["p1"], blank)
    assert [c.phrase for c in grown.concepts][:2] == phrases
    assert grown.find("black dress") is not None


def test_predictions_without_names_and_similarities(tmp_path: Path) -> None:
    release(tmp_path, [QUERY], [])
    write(tmp_path, "concepts_predictions.jsonl", {"query_id": 15, "item_ids": [94, "7"]})
    found = import_release(tmp_path).prototypes(0)
    assert [(one.rank, one.image_id, one.similarity) for one in found] == [(0, "94", 0.0), (1, "7", 0.0)]


@pytest.mark.parametrize(
    ("queries", "fathers", "words"),
    [
        (["{"], [], "concepts_queries.jsonl, line 1 is not JSON"),
        ([QUERY, "[1]"], [], "line 2 is not a JSON object"),
        ([{**QUERY, "phrase": 3}], [], "line 1: field 'phrase' is missing or of the wrong type; it is 3"),
        ([{**QUERY, "phrase": " "}], [], "line 1: the phrase is empty"),
        ([{**QUERY, "query_id": True}], [], "field 'query_id'"),
        ([{**QUERY, "phrase": "\ud800"}], [], "not valid Unicode"),
        ([{**QUERY, "head": "sunglasses"}], [], "field 'modifiers'"),
        ([QUERY, {**QUERY, "phrase": "hat"}], [], "line 2: query_id 15 is already"),
        ([], [], "lists no concept"),
        ([QUERY], [{**FATHER, "phrase": "hat"}], "concepts_fathers.jsonl, line 1: 'hat' is not in"),
        ([QUERY], [{"phrase": "woman sunglasses"}], "field 'phrase_father'"),
        ([QUERY], [FATHER, {"phrase": "sunglasses", "phrase_father": "woman sunglasses"}], "in a circle|is not in"),
        (
            [QUERY, {**QUERY, "query_id": 1, "phrase": "sunglasses"}],
            [FATHER, {"phrase": "sunglasses", "phrase_father": "woman sunglasses"}],
            "in a circle",
        ),
    ],
)
def test_bad_files(tmp_path: Path, queries: list[Any], fathers: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        import_release(release(tmp_path, queries, fathers))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"query_id": 9, "item_ids": [1]}, "query_id 9 is not in"),
        ({"query_id": 15, "item_ids": 3}, "field 'item_ids'"),
        ({"query_id": 15, "item_ids": [1, 2], "similarities": [0.5]}, "do not fit each other"),
        ({"query_id": 15, "item_ids": [None]}, "do not fit each other"),
    ],
)
def test_bad_predictions(tmp_path: Path, record: Any, words: str) -> None:
    write(release(tmp_path, [QUERY], []), "concepts_predictions.jsonl", record)
    with pytest.raises(InputError, match=words):
        import_release(tmp_path)


def test_missing_and_doubled_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        import_release(tmp_path / "gone")
    with pytest.raises(InputError, match=r"has no concepts_queries\.jsonl"):
        import_release(tmp_path)
    release(tmp_path, [QUERY], [])
    release(tmp_path, [QUERY], [], prefix="icbu_")
    with pytest.raises(InputError, match="holds concepts_queries.jsonl and icbu_concepts_queries.jsonl"):
        import_release(tmp_path)
