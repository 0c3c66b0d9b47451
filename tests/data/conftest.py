"""Pictures and tables made by hand."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.pairs import PairTable

Row = Sequence[str]


def _write_rows(path: Path, rows: Sequence[Row], header: Row = ("product_id", "image", "caption")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def write_rows() -> Callable[..., Path]:
    """Writes a CSV file of rows below a header."""
    return _write_rows


@pytest.fixture
def make_table(tmp_path: Path) -> Callable[..., PairTable]:
    """Builds a table of rows (product id, picture, caption); pictures `red.png` and `blue.jpg` exist beside it."""
    Image.new("RGB", (16, 12), (255, 0, 0)).save(tmp_path / "red.png")
    Image.new("RGB", (16, 16), (0, 0, 255)).save(tmp_path / "blue.jpg")

    def make(rows: Sequence[Row], text: str | None = "caption", image: str | None = "image") -> PairTable:
        return PairTable(open_catalogue(_write_rows(tmp_path / "table.csv", rows)), text, image)

    return make
