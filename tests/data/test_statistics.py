"""Statistics of a table against counts made by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.statistics import statistics_text, table_statistics

HEADER = ["product_id", "image", "caption", "colour", "sku"]
ROWS = [
    ["p1", "a.png", "red dress", "red", "1"],
    ["p1", "b.jpg", "Red  Dress", "red", "2"],
    ["p2", "a.png", "a blue top with pockets", "blue", "3"],
    ["p3", "gone.png", "", "red", "4"],
]


@pytest.fixture
def table(tmp_path: Path) -> PairTable:
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    Image.new("RGB", (16, 40)).save(tmp_path / "b.jpg")
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *ROWS, ["too", "short"]])
    return PairTable(open_catalogue(tmp_path / "t.csv"), "caption", "image")


def test_counts(table: PairTable) -> None:
    found = table_statistics(table, progress=False)
    assert (found.rows, found.pairs, found.unreadable) == (5, 5, 1)
    assert found.characters.tolist() == [9, 10, 23, 0]
    assert found.words.tolist() == [2, 2, 5, 0]
    assert sorted(zip(found.widths, found.heights, strict=True)) == [(16, 40), (20, 10), (20, 10)]
    assert found.unusable_pictures == 1
    assert found.picture_formats == {"PNG": 2, "JPEG": 1}
    assert found.labels["colour"] == {"red": 3, "blue": 1}
    text = statistics_text(found)
    for line in (
        "t.csv: 5 rows, 5 pairs, 3 products, 1 of them with several pairs",
        "  unreadable   1",
        "  characters   0 to 23, median 9, 95 % up to 10",
        "  repeated     1 have the text of an earlier pair",
        "  width        16 to 20 pixels",
        "  format       PNG 2, JPEG 1",
        "  repeated     1 have the bytes of an earlier picture",
        "  unusable     1",
        "  colour       red 3, blue 1",
    ):
        assert line.split(" pixels")[0] in text
    assert "sku" not in text  # as many values as rows


def test_columns_of_many_values_are_given_up(table: PairTable, monkeypatch: pytest.MonkeyPatch) -> None:
    from easynlp_fashionklip.data import statistics

    monkeypatch.setattr(statistics, "MOST_LABELS", 1)
    assert table_statistics(table, progress=False).labels == {}


def test_a_label_cannot_command_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('caption,label\na,"\x1b[31mx\ny"\nb,"\x1b[31mx\ny"\nc,z\nd,z\n', encoding="utf-8")
    text = statistics_text(table_statistics(PairTable(open_catalogue(path), "caption"), progress=False))
    assert "\x1b" not in text and "[31mx y 2" in text


def test_an_empty_selection(table: PairTable) -> None:
    text = statistics_text(table_statistics(table.subset([]), progress=False))
    assert "0 pairs, 0 products" in text
