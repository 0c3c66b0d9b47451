"""Texts out of Parquet and CSV files, good and bad."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easynlp_fashionklip.data.texts import open_texts
from easynlp_fashionklip.errors import InputError

COLUMNS = ["title", "description"]


def write(path: Path, columns: dict[str, list[object]], group: int = 1000) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


def products(rows: int) -> dict[str, list[object]]:
    return {
        "id": [str(row) for row in range(rows)],
        "title": [f"Title {row}" for row in range(rows)],
        "description": [f"Text {row}." if row % 3 else None for row in range(rows)],
        "price": list(range(rows)),
    }


def test_rows_of_parquet_in_order_over_row_groups(tmp_path: Path) -> None:
    table = open_texts(write(tmp_path / "t.parquet", products(5000), group=700), COLUMNS)
    assert len(table) == 5000
    rows = list(table.rows())
    assert [product for product, _ in rows] == [str(row) for row in range(5000)]
    assert rows[0][1] == "Title 0\n"
    assert rows[4999][1] == "Title 4999\nText 4999."
    assert list(table.rows()) == rows


def test_ids_may_be_numbers_or_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", products(3))
    assert [product for product, _ in open_texts(path, ["title"], "price").rows()] == ["0", "1", "2"]
    bare = write(tmp_path / "bare.parquet", {"title": ["a", "b"]})
    assert [product for product, _ in open_texts(bare, ["title"]).rows()] == ["0", "1"]


def test_categories_are_text(tmp_path: Path) -> None:
    coded = pa.array(["red dress", "red dress"]).dictionary_encode()
    pq.write_table(pa.table({"id": ["a", "b"], "title": coded}), tmp_path / "t.parquet")
    assert [text for _, text in open_texts(tmp_path / "t.parquet", ["title"]).rows()] == ["red dress"] * 2


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,title,description\np,"A, b","c\nd"\nq,e,\n', encoding="utf-8")
    table = open_texts(path, COLUMNS)
    assert len(table) == 2
    assert list(table.rows()) == [("p", "A, b\nc\nd"), ("q", "e\n")]


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": pa.array([], pa.string()), "title": pa.array([], pa.string())}), path)
    assert list(open_texts(path, ["title"]).rows()) == []


@pytest.mark.parametrize("content", [b"", b"id,title\n1,dress\n", b"PAR1" + b"\0" * 100, b"PAR1" * 50])
def test_what_is_not_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"t\.parquet cannot be read as Parquet"):
        open_texts(path, ["title"])


def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", products(3000), group=500)
    content = bytearray(path.read_bytes())
    content[1000 : len(content) // 2] = b"\xff" * (len(content) // 2 - 1000)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"t\.parquet cannot be read as Parquet") as caught:
        list(open_texts(path, COLUMNS).rows())
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.parquet is not there"):
        open_texts(tmp_path / "gone.parquet", ["title"])


@pytest.mark.parametrize(
    ("columns", "product_id", "words"),
    [
        (["titel"], "", "did you mean 'title'"),
        (["title"], "sku", "no column 'sku'"),
        ([], "", "no text column is named"),
        (["price"], "", "holds int64, not text"),
    ],
)
def test_columns_that_cannot_be_used(tmp_path: Path, columns: list[str], product_id: str, words: str) -> None:
    path = write(tmp_path / "t.parquet", products(3))
    with pytest.raises(InputError, match=words):
        open_texts(path, columns, product_id)


@pytest.mark.parametrize("empty", [None, "", " "])
def test_a_row_without_an_id_is_named(tmp_path: Path, empty: str | None) -> None:
    path = write(tmp_path / "t.parquet", {"id": ["a", empty], "title": ["x", "y"]})
    with pytest.raises(InputError, match=r"t\.parquet, row 2: id is empty"):
        list(open_texts(path, ["title"]).rows())
