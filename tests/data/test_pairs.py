"""Pair tables: columns, ids, keys and subsets."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.images import open_image
from easynlp_fashionklip.data.pairs import PairTable, stable_key, text_key
from easynlp_fashionklip.errors import InputError

ROWS = [("p1", "red.png", "Red  Dress"), ("p2", "blue.jpg", "blue top"), ("p1", "red.png", "red dress ")]
MakeTable = Callable[..., PairTable]
WriteRows = Callable[..., Path]


def test_pairs_are_read_lazily_with_paths_beside_the_table(make_table: MakeTable, tmp_path: Path) -> None:
    pair = make_table(ROWS).pair(1)
    assert (pair.position, pair.product_id, pair.text) == (1, "p2", "blue top")
    assert pair.image is not None and pair.image.path == tmp_path / "blue.jpg"
    assert pair.image.origin == f"{tmp_path / 'table.csv'}, line 3, column 'image', value 'blue.jpg'"


def test_keys_join_equal_products_and_texts_that_read_the_same(make_table: MakeTable) -> None:
    table = make_table(ROWS)
    assert table.product_keys.dtype == table.text_keys.dtype == np.int64
    assert table.product_keys.tolist() == [stable_key("p1"), stable_key("p2"), stable_key("p1")]
    assert table.text_keys[0] == table.text_keys[2] != table.text_keys[1]


def test_keys_are_the_same_everywhere() -> None:
    """BLAKE2b-64 read little-endian, so that tables keyed on different machines agree."""
    assert stable_key("p1") == -7940245846511773976
    assert text_key(" Short\tSleeve ") == text_key("short sleeve") == stable_key("short sleeve")
    assert text_key("STRASSE") == text_key("straße")


def test_subset_renumbers_positions_and_keeps_ids_and_keys(make_table: MakeTable) -> None:
    table = make_table(ROWS)
    keys = table.text_keys
    subset = table.subset([2, 1]).subset(np.array([1, 0]))
    assert [subset.pair(i).product_id for i in range(2)] == ["p2", "p1"]
    assert [subset.pair(i).position for i in range(2)] == [0, 1]
    assert subset.text_keys.tolist() == keys[[1, 2]].tolist()
    assert list(subset.texts()) == ["blue top", "red dress "]
    assert subset.where(1).endswith("table.csv, line 4")
    with pytest.raises(IndexError):
        subset.pair(2)
    with pytest.raises(IndexError):
        table.subset([3])


def test_the_id_column_is_found_or_the_row_number_serves(tmp_path: Path, write_rows: WriteRows) -> None:
    by_id = open_catalogue(write_rows(tmp_path / "a.csv", [("7", "x")], header=("id", "caption")))
    assert PairTable(by_id, "caption", product_id="").product_id(0) == "7"
    both = open_catalogue(write_rows(tmp_path / "b.csv", [("7", "8")], header=("id", "product_id")))
    assert PairTable(both, "id").product_id(0) == "8"
    assert PairTable(both, "id", product_id="id").product_id(0) == "7"
    none = open_catalogue(write_rows(tmp_path / "c.csv", [("x",), ("y",), ("z",)], header=("caption",)))
    numbered = PairTable(none, "caption").subset([2, 0])
    assert [numbered.product_id(i) for i in range(2)] == ["2", "0"]
    assert numbered.product_keys.tolist() == [stable_key("2"), stable_key("0")]


def test_a_missing_column_is_named_with_those_there_are_and_the_nearest(make_table: MakeTable) -> None:
    with pytest.raises(
        InputError, match="has no column 'captoin'; its columns are product_id, image, caption"
    ) as caught:
        make_table(ROWS, text="captoin")
    assert "did you mean 'caption' for the text?" in str(caught.value)
    with pytest.raises(InputError, match="has no column 'picture_file'.*for the image"):
        make_table(ROWS, image="picture_file")
    with pytest.raises(InputError, match="has no column 'sku'.*product id"):
        PairTable(make_table(ROWS).catalogue, "caption", product_id="sku")
    with pytest.raises(InputError, match="neither a text nor an image column"):
        make_table(ROWS, text=None, image=None)


def test_texts_alone_and_pictures_alone(make_table: MakeTable) -> None:
    texts = make_table(ROWS, image=None)
    assert texts.pair(0).image is None and texts.pair(0).text == "Red  Dress"
    pictures = make_table(ROWS, text=None)
    assert pictures.pair(0).text == "" and pictures.pair(0).image is not None
    assert len(set(pictures.text_keys.tolist())) == 3


def test_tsv_with_base64_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (255, 0, 0)).save(tmp_path / "r.png")
    encoded = base64.urlsafe_b64encode((tmp_path / "r.png").read_bytes()).decode()
    (tmp_path / "a.tsv").write_text(f"red dress\t{encoded}\n", encoding="utf-8")
    table = PairTable(open_catalogue(tmp_path / "a.tsv", input_schema="text:str:1,image:str:1"), "text", "image")
    image = table.pair(0).image
    assert image is not None and open_image(image).getpixel((3, 3)) == (255, 0, 0)


def test_a_bad_picture_cell_leaves_texts_readable(make_table: MakeTable) -> None:
    table = make_table([("p1", "", "red dress")])
    assert list(table.texts()) == ["red dress"]
    with pytest.raises(InputError, match="line 2, column 'image'"):
        table.pair(0)


def test_tables_pickle_with_their_keys(make_table: MakeTable) -> None:
    table = make_table(ROWS)
    keys = table.product_keys
    copy = pickle.loads(pickle.dumps(table))
    assert copy.pair(2) == table.pair(2) and copy.product_keys.tolist() == keys.tolist()
