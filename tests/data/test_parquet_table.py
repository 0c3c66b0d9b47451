"""Parquet: types, several files, row groups larger than a block, no copy left behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written import products, write_parquet, write_pictures

from easynlp_fashionklip.data import parquet_pictures
from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.images import read_bytes
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError


def test_types_as_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([1, 2]),
            "coded": pa.array(["red", "red"]).dictionary_encode(),
            "price": pa.array([1.5, None]),
            "new": [True, False],
            "tags": [["a", "b"], []],
            "large": pa.array(["x", "y"], pa.large_string()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    catalogue = open_catalogue(tmp_path / "t.parquet")
    expected = {"id": "1", "coded": "red", "price": "1.5", "new": "true", "tags": "a\nb", "large": "x"}
    assert catalogue.row(0) == expected
    assert catalogue.row(1)["price"] == catalogue.row(1)["tags"] == ""
    assert catalogue.place(1) == "row 2"


def test_pictures_by_path(tmp_path: Path) -> None:
    names = write_pictures(tmp_path)
    pq.write_table(pa.table({"image": names, "caption": ["x"] * len(names)}), tmp_path / "t.parquet")
    image = PairTable(open_catalogue(tmp_path / "t.parquet"), "caption", "image").pair(2).image
    assert image is not None and read_bytes(image) == products()[2].picture


def test_rows_in_any_order_of_a_group_larger_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_pictures, "BLOCK_BYTES", 1500)
    pictures = [np.random.default_rng(row).bytes(200) for row in range(90)]
    pq.write_table(pa.table({"image": pictures, "id": [*range(90)]}), tmp_path / "t.parquet", row_group_size=40)
    table = PairTable(open_catalogue(tmp_path / "t.parquet"), None, "image")
    for position in [*range(90), *np.random.default_rng(0).permutation(90).tolist(), 39, 40, 79, 80, 0]:
        image = table.pair(position).image
        assert image is not None and image.encoded == pictures[position]


def test_several_files_are_one_table(tmp_path: Path) -> None:
    for part in range(3):
        columns = {"id": [f"{part}-{row}" for row in range(4)], "image": [bytes([part, row]) for row in range(4)]}
        pq.write_table(pa.table(columns), tmp_path / f"{part}.parquet", row_group_size=3)
    for path in (tmp_path, tmp_path / "*.parquet"):
        catalogue = open_catalogue(path)
        assert len(catalogue) == 12 and len(catalogue.files) == 3
        assert [catalogue.row(i)["id"] for i in (0, 5, 11)] == ["0-0", "1-1", "2-3"]
        assert list(catalogue.values(9, "image")) == [bytes([2, 1])]
    pq.write_table(pa.table({"other": [1]}), tmp_path / "3.parquet")
    with pytest.raises(InputError, match="other columns"):
        open_catalogue(tmp_path)


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    catalogue = open_catalogue(write_parquet(tmp_path))
    assert list((tmp_path / "tmp").iterdir()) == []
    assert catalogue.row(6)["caption"] == products()[6].caption


def test_big_row_groups_of_pictures_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from easynlp_fashionklip.data import parquet_table

    monkeypatch.setattr(parquet_table, "SLOW_GROUP_BYTES", 10)
    open_catalogue(write_parquet(tmp_path))
    assert "fashionklip data convert" in caplog.text


@pytest.mark.parametrize("content", [b"", b"PAR1" + b"\0" * 100, b"id,title\n1,dress\n"])
def test_what_is_not_parquet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"t\.parquet cannot be read as Parquet"):
        open_catalogue(tmp_path / "t.parquet")


def test_no_rows_no_columns_no_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="no rows"):
        open_catalogue(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="does not exist"):
        open_catalogue(tmp_path / "gone.parquet")
    path = write_parquet(tmp_path)
    with pytest.raises(InputError, match="column 'image' holds bytes, not text"):
        PairTable(open_catalogue(path), "image")
    with pytest.raises(InputError, match="row 1: column 'image' holds bytes"):
        open_catalogue(path).row(0)["image"]
