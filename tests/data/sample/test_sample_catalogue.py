"""The written sample catalogue: reproducible, complete, consistent with its own truth."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easynlp_fashionklip.data.sample import SampleSummary, write_sample_catalogue
from easynlp_fashionklip.data.sample.catalogue import COLUMNS, make_product
from easynlp_fashionklip.errors import InputError

PRODUCTS, IMAGE_SIZE = 48, 48
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("sample") / "new" / "catalogue"
    write_sample_catalogue(out_dir, products=PRODUCTS, seed=3, image_size=IMAGE_SIZE)
    return out_dir


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def read_jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_numbers_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    summary = write_sample_catalogue(tmp_path, products=PRODUCTS, seed=3, image_size=IMAGE_SIZE)
    assert contents(tmp_path) == contents(folder)
    sizes = {name: len(read_jsonl(folder / f"{name}.jsonl")) for name in ("concepts", "is_a")}
    assert summary == SampleSummary(tmp_path, PRODUCTS, train=28, valid=10, test=10, **sizes)


def test_another_seed_gives_other_products(folder: Path) -> None:
    own = [record["phrases"] for record in read_jsonl(folder / "truth.jsonl")]
    other = [[phrase.text for phrase in make_product(4, i).caption.phrases] for i in range(PRODUCTS)]
    assert own != other


def test_larger_catalogue_begins_with_the_smaller_one(folder: Path, tmp_path: Path) -> None:
    write_sample_catalogue(tmp_path, products=30, seed=3, image_size=IMAGE_SIZE)
    larger = contents(folder)
    pictures = {name: data for name, data in contents(tmp_path).items() if name.startswith("images")}
    assert len(pictures) == 30
    assert all(larger[name] == data for name, data in pictures.items())


def test_splits_hold_every_product_once_and_pictures_open(folder: Path) -> None:
    rows = [row for split in SPLITS for row in read_csv(folder / f"{split}.csv")]
    assert len({row["product_id"] for row in rows}) == len(rows) == PRODUCTS
    assert len(list((folder / "images").iterdir())) == PRODUCTS
    for row in rows:
        assert tuple(row) == COLUMNS
        assert all(row.values())
        with Image.open(folder / row["image"]) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (IMAGE_SIZE, IMAGE_SIZE))
            assert np.asarray(picture).std() > 5


def test_truth_agrees_with_the_tables(folder: Path) -> None:
    rows = {row["product_id"]: (split, row) for split in SPLITS for row in read_csv(folder / f"{split}.csv")}
    for record in read_jsonl(folder / "truth.jsonl"):
        split, row = rows[record["product_id"]]
        assert record["split"] == split
        for name in ("category", "colour", "pattern", "gender"):
            assert record["attributes"][name] == row[name]


def test_concepts_are_exactly_those_of_the_products_with_their_frequencies(folder: Path) -> None:
    counted: dict[str, int] = defaultdict(int)
    for record in read_jsonl(folder / "truth.jsonl"):
        assert len(set(record["concepts"])) == len(record["concepts"])
        assert set(record["phrases"]) <= set(record["concepts"])
        for concept in record["concepts"]:
            counted[concept] += 1
    assert {record["phrase"]: record["frequency"] for record in read_jsonl(folder / "concepts.jsonl")} == counted


def test_hierarchy_joins_known_concepts_of_one_head(folder: Path) -> None:
    heads = {record["phrase"]: record["head"] for record in read_jsonl(folder / "concepts.jsonl")}
    edges = read_jsonl(folder / "is_a.jsonl")
    assert edges
    for edge in edges:
        assert heads[edge["child"]] == heads[edge["parent"]]
        assert set(edge["parent"].split()) < set(edge["child"].split())


def test_queries_name_every_relevant_product_of_the_split(folder: Path) -> None:
    for split in ("valid", "test"):
        rows = read_csv(folder / f"{split}.csv")
        queries = read_jsonl(folder / f"{split}_queries.jsonl")
        assert len({query["query_id"] for query in queries}) == len(queries)
        assert {query["kind"] for query in queries} == {"category", "colour+category", "pattern+category"}
        for query in queries:
            assert query["item_ids"] == [row["product_id"] for row in rows if answers(row, query)]
            assert query["item_ids"]
        named = {item for query in queries if query["kind"] == "category" for item in query["item_ids"]}
        assert named == {row["product_id"] for row in rows}


def answers(row: dict[str, str], query: dict) -> bool:
    wanted = {
        "category": row["category"],
        "colour+category": f"{row['colour']} {row['category']}",
        "pattern+category": f"{row['pattern']} {row['category']}",
    }[query["kind"]]
    return query["query_text"] in (wanted, f"{wanted}s")


def test_split_sizes_are_ten_percent_of_a_large_catalogue() -> None:
    from easynlp_fashionklip.data.sample.catalogue import _split

    parts = _split([make_product(0, position) for position in range(150)])
    assert {split: len(members) for split, members in parts.items()} == {"train": 120, "valid": 15, "test": 15}


@pytest.mark.parametrize("products", [29, 0, -1, 10**7])
def test_product_number_out_of_range_is_refused(products: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"products is {products}: give a number from 30 to 100000"):
        write_sample_catalogue(tmp_path / "new", products=products)
    assert not (tmp_path / "new").exists()


def test_image_size_and_seed_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="image_size is 8"):
        write_sample_catalogue(tmp_path, products=30, image_size=8)
    with pytest.raises(InputError, match="seed is -1"):
        write_sample_catalogue(tmp_path, products=30, seed=-1)


def test_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="is not empty"):
        write_sample_catalogue(tmp_path, products=30)
    assert contents(tmp_path) == {"mine.txt": b"keep"}


def test_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("keep")
    with pytest.raises(InputError, match="taken is a file"):
        write_sample_catalogue(tmp_path / "taken", products=30)
    with pytest.raises(InputError, match="cannot be written"):
        write_sample_catalogue(tmp_path / "taken" / "below", products=30)


def test_nothing_is_left_when_drawing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr("easynlp_fashionklip.data.sample.catalogue.draw_product", broken)
    with pytest.raises(RuntimeError, match="no ink"):
        write_sample_catalogue(tmp_path / "new", products=30)
    assert list(tmp_path.iterdir()) == []
