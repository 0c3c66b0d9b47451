"""Prototypes' pictures found in a catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.prototype_pictures import open_pictures
from easynlp_fashionklip.graph.store import ConceptGraph


@pytest.fixture()
def table(tmp_path: Path) -> Path:
    for number in range(2):
        Image.new("RGB", (20, 20), (0, 100 * number, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "t.csv").write_text("key,image\np1,0.png\nother,0.png\np1,1.png\np2,gone.png\n")
    return tmp_path / "t.csv"


def test_further_pictures_of_a_product_have_numbers(shirts: ConceptGraph, table: Path) -> None:
    pictures = open_pictures(shirts, table, "image", product_id="key")
    assert pictures is not None
    assert list(pictures.ids()) == ["p1", "p1#1", "p2"] and len(pictures) == 3
    assert "other" not in pictures
    second = pictures.open("p1#1", near=20)
    assert second is not None and second.getpixel((5, 5)) == (0, 100, 0)


def test_pictures_by_template_under_a_root(shirts: ConceptGraph, table: Path) -> None:
    (table.parent / "photos").mkdir()
    Image.new("RGB", (20, 20), (9, 0, 0)).save(table.parent / "photos" / "p1.png")
    root = str(table.parent / "photos")
    pictures = open_pictures(shirts, table, "{key}.png", product_id="key", image_root=root)
    assert pictures is not None
    picture = pictures.open("p1", near=20)
    assert picture is not None and picture.getpixel((5, 5)) == (9, 0, 0)


def test_an_unreadable_picture_is_named_once(
    shirts: ConceptGraph, table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = open_pictures(shirts, table, "image", product_id="key")
    assert pictures is not None
    assert pictures.open("p2", near=20) is None and pictures.open("p2", near=20) is None
    assert caplog.text.count("gone.png does not exist") == 1
    assert "lacks 1 of 4 prototype pictures" in caplog.text


def test_no_catalogue(shirts: ConceptGraph) -> None:
    assert open_pictures(shirts, None, None) is None


def test_a_catalogue_of_other_products(shirts: ConceptGraph, table: Path) -> None:
    with pytest.raises(InputError, match="none of the 4 prototypes"):
        open_pictures(shirts, table, "image")  # without the id column rows are numbered


def test_options_that_miss_each_other(shirts: ConceptGraph, table: Path) -> None:
    with pytest.raises(InputError, match="comes without --image"):
        open_pictures(shirts, table, None)
    with pytest.raises(InputError, match="comes without --catalog"):
        open_pictures(shirts, None, "image")
    with pytest.raises(InputError, match="belong to --catalog"):
        open_pictures(shirts, None, None, product_id="key")
    with pytest.raises(InputError, match="belong to --catalog"):
        open_pictures(shirts, None, None, image_root="photos")
    with pytest.raises(InputError, match="no column 'picture'"):
        open_pictures(shirts, table, "picture", "key")
