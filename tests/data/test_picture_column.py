"""Pictures by path, by a template of other columns, under a root, in an archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from written import pixels_of, write_npz

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.images import open_image
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.export.release import clip_pixels

WriteRows = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path, write_rows: WriteRows) -> Callable[..., PairTable]:
    """Opens a table of one product `0108775015`, `shirt`, with another picture column."""
    (tmp_path / "photos" / "010").mkdir(parents=True)
    Image.fromarray(pixels_of(0)).save(tmp_path / "photos" / "010" / "0108775015.png")
    path = write_rows(tmp_path / "t.csv", [("0108775015", "shirt", "")], header=("id", "caption", "none"))
    return lambda image, **options: PairTable(open_catalogue(path), "caption", image, **options)


def test_a_template_of_columns(table: Callable[..., PairTable], tmp_path: Path) -> None:
    pair = table("photos/{id:.3}/{id}.png").pair(0)
    assert pair.image is not None and pair.image.path == tmp_path / "photos/010/0108775015.png"
    pair = table("{id:.3}/{id:0>10}.png", image_root=str(tmp_path / "photos")).pair(0)
    assert pair.image is not None and pair.image.path == tmp_path / "photos/010/0108775015.png"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("photos/{sku}.png", "names 'sku', which .* does not have; its columns are id, caption, none"),
        ("photos/{id.__class__}.png", "names 'id.__class__'"),
        ("photos/{id:>99999999}.png", "has the format '>99999999'"),
        ("photos/{id:{caption}}.png", "has braces that hold no column"),
        ("https://shop.example/{id}.jpg", "web addresses are not fetched"),
        ("photos/{none}.png", "the picture is missing"),
    ],
)
def test_templates_that_cannot_be_used(table: Callable[..., PairTable], template: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        table(template).pair(0)


@pytest.mark.parametrize(
    ("root", "words"), [("gone", "is no folder"), ("gone.npz", "does not exist"), ("http://a.b/c", "not fetched")]
)
def test_roots_that_cannot_be_used(table: Callable[..., PairTable], root: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        table("{id}.png", image_root=root).pair(0)


def test_an_archive_undoes_the_releases_transformation(table: Callable[..., PairTable], tmp_path: Path) -> None:
    image = Image.fromarray(pixels_of(0)).resize((224, 224), Image.Resampling.NEAREST)
    archive = write_npz(tmp_path / "p.npz", {"0108775015": clip_pixels(image)})
    pair = table("id", image_root=str(archive)).pair(0)
    assert pair.image is not None
    difference = np.abs(np.asarray(open_image(pair.image), np.int16) - np.asarray(image, np.int16))
    assert difference.max() == 0


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([{"a": 1}], dtype=object), "Python objects"),
        (np.zeros((3, 4), np.uint8), "has the shape"),
        (np.zeros((3, 4, 4), np.int64), "holds int64"),
        (np.zeros((0, 4, 3), np.uint8), "has the shape"),
        (np.frombuffer(b"no picture", np.uint8), "not a picture"),
    ],
)
def test_arrays_that_are_no_pictures(
    table: Callable[..., PairTable], tmp_path: Path, array: np.ndarray, words: str
) -> None:
    archive = write_npz(tmp_path / "p.npz", {"0108775015": array})
    with pytest.raises(InputError, match=words):
        image = table("id", image_root=str(archive)).pair(0).image
        assert image is not None
        open_image(image)


def test_an_archive_without_the_item(table: Callable[..., PairTable], tmp_path: Path) -> None:
    archive = write_npz(tmp_path / "p.npz", {"1": pixels_of(0)})
    with pytest.raises(InputError, match=r"value '0108775015': .*p\.npz has no picture of that id"):
        table("id", image_root=str(archive)).pair(0)
