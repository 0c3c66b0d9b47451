"""JSONL: cells of every JSON type, and lines that are none."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from written import products

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.images import read_bytes
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_values_of_every_type(tmp_path: Path) -> None:
    line = (
        '{"id": 7, "text": "Kleid \\u00fc \\ud83d\\udc57", "price": 1.5, "new": true, "none": null, "more": {"a": [1]}}'
    )
    catalogue = open_catalogue(write(tmp_path / "t.jsonl", line, "", '{"id": 8, "tags": ["a", "b"]}'))
    assert catalogue.columns == ("id", "text", "price", "new", "none", "more", "tags")
    assert catalogue.row(0) == {
        "id": "7",
        "text": "Kleid ü 👗",
        "price": "1.5",
        "new": "true",
        "none": "",
        "more": '{"a": [1]}',
        "tags": "",
    }
    assert catalogue.row(1)["tags"] == "a\nb" and catalogue.row(1)["text"] == ""
    assert catalogue.place(1) == "line 3"


def test_pictures_by_path_base64_and_mapping(tmp_path: Path) -> None:
    picture = products()[0].picture
    (tmp_path / "a.png").write_bytes(picture)
    encoded = base64.b64encode(picture).decode()
    values = ('"a.png"', f'"{encoded}"', '{"path": "a.png"}', f'{{"bytes": "{encoded}", "path": null}}', '["a.png"]')
    lines = [f'{{"image": {value}, "caption": "x"}}' for value in values]
    table = PairTable(open_catalogue(write(tmp_path / "t.jsonl", *lines)), "caption", "image")
    for position in range(len(values)):
        image = table.pair(position).image
        assert image is not None and read_bytes(image) == picture


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"id": "\\ud800"}', "not JSON"),
        ('{"id": ' + "[" * 20000 + "]" * 20000 + "}", "nested too deeply"),
        ('{"id": ' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, words: str) -> None:
    catalogue = open_catalogue(write(tmp_path / "t.jsonl", '{"id": "1"}', line))
    assert catalogue.row(0) == {"id": "1"}
    with pytest.raises(InputError, match=rf"t\.jsonl, line 2: .*{words}"):
        catalogue.row(1)


def test_a_file_without_any_object(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 1: this is not JSON"):
        open_catalogue(write(tmp_path / "t.jsonl", "id,text", "1,red"))
    with pytest.raises(InputError, match="no keys"):
        open_catalogue(write(tmp_path / "t.jsonl", "{}"))
