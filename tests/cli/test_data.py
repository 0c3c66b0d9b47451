"""`fashionklip data check | stats | convert` as commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from easynlp_fashionklip.cli import fashionklip_main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*argv: object) -> tuple[int, str, str]:
        code = fashionklip_main(["data", *map(str, argv)])
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def table(tmp_path: Path) -> Path:
    Image.new("RGB", (20, 20), "red").save(tmp_path / "a.png")
    path = tmp_path / "t.csv"
    path.write_text("product_id,image,caption\np1,a.png,red dress\np2,a.png,red skirt\n", encoding="utf-8")
    return path


@pytest.fixture
def bad(table: Path) -> Path:
    with table.open("a", encoding="utf-8") as file:
        file.write("p3,gone.png,hat\np4,a.png,\np5,a.png\np1,a.png,coat\np6,gone.png,top\n")
    return table


def test_check_of_a_good_table(run: Run, table: Path) -> None:
    code, out, _ = run("check", table)
    assert code == 0
    assert out.endswith("0 of 2 pairs cannot be used (text 'caption', picture 'image', product 'product_id')\n")


def test_check_names_every_bad_row_and_counts_causes(run: Run, bad: Path) -> None:
    code, out, _ = run("check", bad)
    assert code == 2
    lines = out.splitlines()
    for number, line in zip((4, 5, 6, 8, 7), lines, strict=False):
        assert f"t.csv, line {number}" in line, lines
    assert "5 of 7 pairs cannot be used" in lines[5]
    assert sorted(lines[6:]) == [
        "         1  duplicate product id",
        "         1  empty text",
        "         1  unreadable row",
        "         2  unusable picture",
    ]


def test_check_heeds_the_settings(run: Run, bad: Path) -> None:
    assert run("check", bad, "--set", "on_bad_row=skip")[0] == 0
    assert "duplicate" not in run("check", bad, "--set", "duplicate_ids=allow")[1].splitlines()[-1]
    code, out, _ = run("check", bad, "--text", "product_id", "--image", "{product_id}.png")
    assert code == 2 and "column '{product_id}.png', value 'p1.png'" in out


def test_stats(run: Run, table: Path) -> None:
    code, out, _ = run("stats", table)
    assert code == 0
    assert "2 rows, 2 pairs, 2 products" in out and "width        20 to 20" in out


def test_convert_and_read_again(run: Run, table: Path, tmp_path: Path) -> None:
    code, out, _ = run("convert", table, tmp_path / "t.tsv")
    assert code == 0
    schema = out.splitlines()[-1].partition("--input_schema=")[2]
    assert schema == "product_id:str:1,caption:str:1,image:str:1"
    assert run("check", tmp_path / "t.tsv", "--input_schema", schema)[0] == 0
    assert run("convert", tmp_path / "t.tsv", tmp_path / "w", "--to", "webdataset", "--input_schema", schema)[0] == 0
    assert run("check", tmp_path / "w")[0] == 0
    assert run("stats", tmp_path / "w")[0] == 0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["check", "gone.csv"], "gone.csv does not exist"),
        (["check", "{table}", "--text", "captoin"], "did you mean 'caption'"),
        (["stats", "{table}", "--set", "image_rot=x"], "did you mean 'image_root'"),
        (["convert", "{table}", "{table}", "--to", "csv"], "the name of a folder"),
        (["convert", "{table}", "out"], "add --to"),
    ],
)
def test_bad_input_is_one_sentence(run: Run, table: Path, argv: list[str], words: str) -> None:
    code, out, err = run(*(word.format(table=table) for word in argv))
    assert code == 2 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and words in err


def test_a_table_without_usual_names(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("foto,satz\na.png,x\n")
    code, _, err = run("check", tmp_path / "t.csv")
    assert code == 2 and "with --text and --image (foto, satz)" in err


def test_surrogates_and_escapes_reach_no_terminal_raw(run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "t.csv").write_text("caption,label\na,\u00e9\nb,\u00e9\nc,\u00e9\nd,x\n", encoding="utf-8")
    assert run("stats", tmp_path / "t.csv")[0] == 0
