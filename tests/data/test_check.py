"""The check before a run: the first bad row is named, or all are counted and left out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easynlp_fashionklip.data import check as check_module
from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.check import check_pairs
from easynlp_fashionklip.data.pairs import PairTable, stable_key, text_key
from easynlp_fashionklip.errors import InputError

MakeTable = Callable[..., PairTable]
GOOD = [("p1", "red.png", "red dress"), ("p2", "blue.jpg", "blue top"), ("p3", "red.png", "red skirt")]


def failure(table: PairTable, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        check_pairs(table, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_good_table_comes_back_with_the_keys_of_the_pass(make_table: MakeTable) -> None:
    table = make_table(GOOD)
    checked = check_pairs(table)
    assert checked is table and checked.skipped == {}
    assert checked._product_keys is not None
    assert checked.product_keys.tolist() == [stable_key(row[0]) for row in GOOD]
    assert checked.text_keys.tolist() == [text_key(row[2]) for row in GOOD]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("p9", "red.png", "  "), "column 'caption': the text is empty"),
        (("", "red.png", "x"), "column 'product_id': the product id is empty"),
        (("p9", "none.png", "x"), "value 'none.png': the picture"),
        (("p9", "", "x"), "column 'image': the picture is missing"),
        (("p9", "red.png"), "found 2 columns where 3 are expected"),
        (("p1", "red.png", "x"), "the id 'p1' is already on line 2; pass duplicate_ids=allow"),
    ],
)
def test_fatal_names_the_row(make_table: MakeTable, row: tuple[str, ...], words: str) -> None:
    message = failure(make_table([GOOD[0], row, GOOD[1]]))
    assert "table.csv, line 3" in message and words in message and message.endswith(".")


@pytest.mark.parametrize("rows_a_task", [1, 2, 64])
def test_fatal_takes_the_first_bad_row_in_file_order(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, rows_a_task: int
) -> None:
    monkeypatch.setattr(check_module, "ROWS_A_TASK", rows_a_task)
    bad_picture, repeated, no_text = ("p5", "none.png", "x"), ("p2", "red.png", "x"), ("p6", "red.png", "")
    assert "line 5" in failure(make_table([*GOOD, bad_picture, repeated, no_text]), workers=4)
    assert "line 5" in failure(make_table([*GOOD, repeated, bad_picture, no_text]), workers=4)
    assert "line 5" in failure(make_table([*GOOD, no_text, repeated, bad_picture]), workers=4)


def test_fatal_with_duplicates_allowed(make_table: MakeTable) -> None:
    assert len(check_pairs(make_table([*GOOD, *GOOD]), duplicate_ids="allow")) == 6


def test_row_numbers_as_ids_never_repeat(write_rows: Callable[..., Path], tmp_path: Path) -> None:
    catalogue = open_catalogue(write_rows(tmp_path / "a.csv", [("same",), ("same",)], header=("caption",)))
    assert len(check_pairs(PairTable(catalogue, "caption"))) == 2


def test_skip_counts_by_reason_and_returns_the_rest(
    make_table: MakeTable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    png = tmp_path / "damaged.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(png)
    data = png.read_bytes()
    png.write_bytes(data[:900] + bytes(60) + data[960:])
    rows = [
        GOOD[0],
        ("p8", "damaged.png", "x"),
        GOOD[1],
        ("p1", "red.png", "y"),
        ("p9", "red.png", ""),
        ("p7",),
        GOOD[2],
    ]
    assert len(check_pairs(make_table([row for row in rows if len(row) == 3 and row[2] and row[0] != "p1"]))) == 3
    with caplog.at_level(logging.WARNING):
        checked = check_pairs(make_table(rows), on_bad_row="skip")
    assert [checked.pair(i).product_id for i in range(len(checked))] == ["p1", "p2", "p3"]
    assert checked.skipped == {
        "unusable picture": 1,
        "empty text": 1,
        "unreadable row": 1,
        "duplicate product id": 1,
    }
    assert checked.product_keys.tolist() == [stable_key(row[0]) for row in GOOD]
    assert [f"line {line}" in caplog.text for line in (2, 3, 4, 5, 6, 7, 8)] == [
        True,
        True,
        False,
        True,
        True,
        True,
        False,
    ]
    assert "skipped 4 of 7 rows" in caplog.text


def test_skip_keeps_the_first_good_row_of_an_id(make_table: MakeTable) -> None:
    rows = [("p1", "none.png", "x"), ("p1", "red.png", "first good"), ("p1", "red.png", "second good")]
    checked = check_pairs(make_table(rows), on_bad_row="skip")
    assert list(checked.texts()) == ["first good"]


def test_skip_logs_twenty_rows_and_the_count(make_table: MakeTable, caplog: pytest.LogCaptureFixture) -> None:
    rows = [*GOOD, *((f"q{i}", "none.png", "x") for i in range(50))]
    with caplog.at_level(logging.WARNING):
        assert len(check_pairs(make_table(rows), on_bad_row="skip")) == 3
    assert sum(record.getMessage().startswith("skipped: ") for record in caplog.records) == 20
    assert "skipped 50 of 53 rows (50 unusable picture)" in caplog.text


def test_too_few_rows_left(make_table: MakeTable) -> None:
    rows = [GOOD[0], ("p9", "none.png", "x")]
    assert "1 usable rows are left of 2, fewer than the 2 needed" in failure(
        make_table(rows), on_bad_row="skip", min_rows=2
    )
    assert "0 usable rows" in failure(make_table(rows[1:]), on_bad_row="skip")
    assert "fewer than the 9" in failure(make_table(GOOD), min_rows=9)


def test_texts_alone_need_no_pictures(make_table: MakeTable) -> None:
    assert len(check_pairs(make_table([("p1", "none.png", "x")], image=None))) == 1
    assert len(check_pairs(make_table([("p1", "red.png", "")], text=None))) == 1


def test_no_more_rows_are_read_ahead_than_bounded(make_table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "ROWS_A_TASK", 1)
    table = make_table([(f"p{i}", "none.png" if i == 0 else "red.png", "x") for i in range(300)])
    read: list[int] = []
    cells = table.cells

    def counted(position: int) -> dict[str, str]:
        read.append(position)
        return cells(position)

    monkeypatch.setattr(table, "cells", counted)
    failure(table, workers=2)
    assert len(read) <= check_module.TASKS_AHEAD * 2 + 1


def test_the_bar_shows_when_asked_and_not_without_a_terminal(
    make_table: MakeTable, capsys: pytest.CaptureFixture[str]
) -> None:
    check_pairs(make_table(GOOD), progress=True)
    shown = capsys.readouterr()
    assert "checking table.csv" in shown.err and "3/3" in shown.err and shown.out == ""
    check_pairs(make_table(GOOD))
    assert capsys.readouterr().err == ""
