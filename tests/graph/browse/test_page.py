"""What the page holds, without a browser."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.browse import json_in_html, write_page
from easynlp_fashionklip.graph.browse.thumbnails import by_rank
from easynlp_fashionklip.graph.prototype_pictures import PrototypePictures, open_pictures
from easynlp_fashionklip.graph.store import ConceptGraph


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


@pytest.fixture()
def pictured(shirts: ConceptGraph, tmp_path: Path) -> PrototypePictures | None:
    """Pictures of p1, p1#1, p2; that of the dress is not in the table."""
    for name, colour in (("red", (250, 0, 0)), ("blue", (0, 0, 250)), ("grey", (120, 120, 120))):
        Image.new("RGB", (300, 200), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "t.csv").write_text("product_id,image\np1,red.png\np2,blue.png\np1,grey.png\np9,gone.png\n")
    return open_pictures(shirts, tmp_path / "t.csv", "image")


def test_data_survive_in_html(shirts: ConceptGraph, tmp_path: Path) -> None:
    write_page(shirts, tmp_path / "graph.html")
    data = data_of(tmp_path / "graph.html")
    assert data["phrases"] == shirts.tables.concepts.phrases
    assert data["surfaces"] == {"0": "T-Shirt", "5": 'THE "BEST" TEE'}
    assert data["parents"][:5] == [[], [0], [0], [1, 2], []]
    assert [data["heads"][number] for number in data["head"]] == shirts.tables.concepts.heads
    assert data["imageIds"] == ["p1", "p2", 'he said "p", \n<3>', "p1#1"]  # first ones first
    assert data["prototypes"][0] == [[0, 312], [1, 100], [3, 250]]


@pytest.mark.parametrize("text", ["</script>", "<!--", "<script", "a<b"])
def test_no_text_opens_or_ends_an_element(text: str) -> None:
    assert "<" not in json_in_html([text])
    assert json.loads(json_in_html([text])) == [text]


def test_the_page_loads_nothing(shirts: ConceptGraph, tmp_path: Path) -> None:
    write_page(shirts, tmp_path / "graph.html")
    text = (tmp_path / "graph.html").read_text("utf-8")
    assert not re.search(r"https?://|\b(src|href)=|@import|url\(", text)
    assert "default-src 'none'" in text
    assert re.findall(r"\{\{\w+\}\}", text) == ["{{data}}"] * 2  # a phrase and its head


def test_pictures_are_small_and_there_once(
    shirts: ConceptGraph, pictured: PrototypePictures, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    remark = write_page(shirts, tmp_path / "graph.html", pictured)
    data = data_of(tmp_path / "graph.html")
    pictures = dict(zip(data["imageIds"], data["images"], strict=True))
    assert len(pictures) == 4 and pictures['he said "p", \n<3>'] == ""
    with Image.open(io.BytesIO(base64.b64decode(pictures["p1#1"]))) as image:
        assert image.format == "JPEG" and image.size == (96, 64)
        assert image.getpixel((40, 30)) == pytest.approx((120, 120, 120), abs=3)
    assert data["remark"] == remark == "1 of 4 pictures are missing or cannot be read."


def test_the_cap_goes_by_rank_and_is_told(
    shirts: ConceptGraph, pictured: PrototypePictures, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_page(shirts, tmp_path / "all.html", pictured)
    sizes = {
        name: len(one)
        for name, one in zip(*map(data_of(tmp_path / "all.html").get, ("imageIds", "images")), strict=True)
    }
    with caplog.at_level(logging.INFO):
        cap = (sizes["p1"] + sizes["p2"]) / 1e6
        write_page(shirts, tmp_path / "some.html", pictured, max_megabytes=cap)
    data = data_of(tmp_path / "some.html")
    shown = [name for name, one in zip(data["imageIds"], data["images"], strict=True) if one]
    assert shown == ["p1", "p2"]  # the first of the t-shirt and of the v-neck, before the t-shirt's third
    assert "2 of 4 pictures are shown: 1 did not fit" in data["remark"]
    assert data["remark"] in caplog.text and "--max_mb" in data["remark"]


def test_by_rank() -> None:
    assert by_rank([["a", "b", "c"], [], ["d", "a"]]) == ["a", "d", "b", "c"]


def test_without_prototypes_or_without_a_catalogue(
    shirts: ConceptGraph, make_graph: Callable[..., ConceptGraph], tmp_path: Path
) -> None:
    bare = make_graph([("dress", "dress", (), 1)])
    assert "no prototypes" in write_page(bare, tmp_path / "bare.html")
    assert data_of(tmp_path / "bare.html")["images"] == []
    assert "--catalog" in write_page(shirts, tmp_path / "names.html")
    assert not any(data_of(tmp_path / "names.html")["images"])


def test_only_an_earlier_page_is_replaced(shirts: ConceptGraph, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("<!doctype html><title>mine</title>")
    with pytest.raises(InputError, match=r"mine.html exists and is not"):
        write_page(shirts, tmp_path / "mine.html")
    write_page(shirts, tmp_path / "graph.html")
    write_page(shirts, tmp_path / "graph.html", per_concept=0)
    assert data_of(tmp_path / "graph.html")["imageIds"] == []


@pytest.mark.parametrize("numbers", [{"per_concept": -1}, {"max_megabytes": -0.1}, {"max_megabytes": float("nan")}])
def test_bad_numbers(shirts: ConceptGraph, tmp_path: Path, numbers: Any) -> None:
    with pytest.raises(InputError, match="0 or more"):
        write_page(shirts, tmp_path / "graph.html", **numbers)


def test_the_parts_of_the_page_are_package_data() -> None:
    folder = resources.files("easynlp_fashionklip.graph.browse")
    assert {"page.css", "page.html", "page.js"} <= {one.name for one in folder.iterdir()}
    assert len(folder.joinpath("page.js").read_text("utf-8").splitlines()) <= 350
