"""Several captions of a picture and several pictures of a product are pairs of one product, in every format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written import pixels_of, products, save_to_disk, write_npz, write_pictures, write_tar

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.check import check_pairs
from easynlp_fashionklip.data.expansion import expand
from easynlp_fashionklip.data.images import read_bytes
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.picture_keys import picture_keys
from easynlp_fashionklip.errors import InputError

# (product id, captions, numbers of its pictures)
ROWS: list[tuple[str, list[str], list[int]]] = [
    ("a", ["red dress", "a dress in red"], [0]),
    ("b", ["blue top"], [1, 2]),
    ("c", ["hat", "sun hat", "straw hat"], [3, 4]),
    ("d", ["coat"], [5]),
]
PAIRS = [(name, caption, number) for name, captions, numbers in ROWS for number in numbers for caption in captions]


def write_jsonl(folder: Path) -> Path:
    names = write_pictures(folder)
    lines = [
        {
            "id": name,
            "caption": captions if len(captions) > 1 else captions[0],
            "image": [names[number] for number in numbers],
        }
        for name, captions, numbers in ROWS
    ]
    (folder / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "t.jsonl"


def arrow_table() -> pa.Table:
    pictures = [[products()[number].picture for number in numbers] for _, _, numbers in ROWS]
    return pa.table({"id": [row[0] for row in ROWS], "caption": [row[1] for row in ROWS], "image": pa.array(pictures)})


def write_parquet(folder: Path) -> Path:
    pq.write_table(arrow_table(), folder / "t.parquet", row_group_size=2)
    return folder / "t.parquet"


def write_saved(folder: Path) -> Path:
    return save_to_disk(folder / "saved", arrow_table())


@pytest.mark.parametrize("write", [write_jsonl, write_parquet, write_saved])
def test_each_picture_with_each_caption(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    table = PairTable(open_catalogue(write(tmp_path)), "caption", "image")
    assert len(table) == len(PAIRS) == 11
    for position in (10, *range(11)):
        name, caption, number = PAIRS[position]
        pair = table.pair(position)
        assert (pair.product_id, pair.text) == (name, caption)
        assert pair.image is not None and read_bytes(pair.image) == products()[number].picture
    assert list(table.texts()) == [pair[1] for pair in PAIRS]
    checked = check_pairs(table, progress=False)  # rows of one product are no duplicates of each other
    assert len(set(checked.product_keys.tolist())) == len(ROWS)
    subset = table.subset([9, 0, 4])
    assert [subset.pair(i).text for i in range(3)] == [PAIRS[i][1] for i in (9, 0, 4)]
    assert len(set(picture_keys(table).tolist())) == 6


def test_pictures_alone_and_texts_alone(tmp_path: Path) -> None:
    catalogue = open_catalogue(write_jsonl(tmp_path))
    assert [PairTable(catalogue, None, "image").product_id(i) for i in range(6)] == ["a", "b", "b", "c", "c", "d"]
    texts = PairTable(catalogue, "caption")
    assert [texts.product_id(i) for i in range(7)] == ["a", "a", "b", "c", "c", "c", "d"]
    pictures = PairTable(catalogue, None, "image")
    assert len(set(pictures.text_keys.tolist())) == 6  # without texts no two pairs share one


def test_samples_of_a_shard(tmp_path: Path) -> None:
    samples = []
    for number, (name, captions, numbers) in enumerate(ROWS):
        for picture in numbers:  # several pictures of a product are samples with its id
            fields = {"product_id": name, "caption": captions}
            samples.append(
                {
                    f"{number}-{picture}.png": products()[picture].picture,
                    f"{number}-{picture}.json": json.dumps(fields).encode(),
                }
            )
    catalogue = open_catalogue(write_tar(tmp_path / "t.tar", samples))
    table = PairTable(catalogue, "caption", "image")
    assert [(table.product_id(i), table.text(i)) for i in range(len(table))] == [pair[:2] for pair in PAIRS]
    with pytest.raises(InputError, match="duplicate_ids=allow"):
        check_pairs(table, progress=False)
    assert len(check_pairs(table, duplicate_ids="allow", progress=False)) == 11


def test_items_of_the_releases_queries(tmp_path: Path) -> None:
    """A query that finds two items is two pairs; an item that two queries find has two captions."""
    queries: Sequence[dict[str, Any]] = [
        {"query_id": 1, "query_text": "dress", "item_ids": [10, 11], "phrases": ["dress"]},
        {"query_id": 2, "query_text": "red dress", "item_ids": [10], "phrases": ["dress", "red dress"]},
    ]
    path = tmp_path / "train_queries.jsonl"
    path.write_text("".join(json.dumps(query) + "\n" for query in queries))
    write_npz(tmp_path / "train_images.npz", {"10": pixels_of(0), "11": pixels_of(1)})
    write_npz(tmp_path / "valid_images.npz", {})
    table = check_pairs(
        PairTable(open_catalogue(path), "query_text", "item_ids"), duplicate_ids="allow", progress=False
    )
    assert [(table.product_id(i), table.text(i)) for i in range(3)] == [
        ("10", "dress"),
        ("11", "dress"),
        ("10", "red dress"),
    ]
    assert table.cells(2)["phrases"] == "dress\nred dress"
    assert table.product_keys[0] == table.product_keys[2]


def test_an_empty_list_is_a_row_without_a_caption(tmp_path: Path) -> None:
    names = write_pictures(tmp_path)
    path = tmp_path / "t.jsonl"
    lines = [{"id": "a", "caption": [], "image": names[0]}, {"id": "b", "caption": ["x", "y"], "image": names[1]}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    table = PairTable(open_catalogue(path), "caption", "image")
    assert len(table) == 3
    with pytest.raises(InputError, match="line 1, column 'caption': the text is empty"):
        check_pairs(table, progress=False)


def test_expansion_by_hand() -> None:
    assert expand(3, None, None) is None
    found = expand(2, np.array([2, 1]), np.array([2, 1]))
    assert found is not None
    assert found.rows.tolist() == [0, 0, 0, 0, 1]
    assert found.captions.tolist() == [0, 1, 0, 1, 0]
    assert found.pictures.tolist() == [0, 0, 1, 1, 0]
