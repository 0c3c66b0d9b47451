"""The page in a browser: search, keys, mouse, pictures, and 20,000 concepts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from easynlp_fashionklip.graph.browse import write_page
from easynlp_fashionklip.graph.prototype_pictures import open_pictures
from easynlp_fashionklip.graph.store import ConceptGraph

ROWS = "[...document.querySelectorAll('.row')].map(row => row.querySelector('.phrase').textContent)"
CHOSEN = "document.querySelector('[aria-selected=true] .phrase')?.textContent"
MANY = 20_000


def loaded(place: str) -> str:
    """Widths of the pictures of a place once all are decoded."""
    images = f"[...document.querySelectorAll('{place} img')]"
    return f"Promise.all({images}.map(i => i.decode())).then(() => {images}.map(i => i.naturalWidth))"


@pytest.fixture(scope="module")
def page(shirts: ConceptGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    for name in ("p1", "p2"):
        Image.effect_noise((200, 100), 80).convert("RGB").save(folder / f"{name}.jpg")
    (folder / "t.csv").write_text("product_id,image\np1,p1.jpg\np2,p2.jpg\np1,p2.jpg\n")
    write_page(shirts, folder / "graph.html", open_pictures(shirts, folder / "t.csv", "image"))
    return folder / "graph.html"


@pytest.fixture(scope="module")
def big(make_graph: Callable[..., ConceptGraph], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 garments, each in 19 colours, each of these in 20 sizes: 50 + 950 + 19,000 concepts."""
    folder = tmp_path_factory.mktemp("big")
    concepts: list[Any] = [(f"garment{g}", f"garment{g}", (), 20_000 - g) for g in range(50)]
    concepts += [(f"c{c} garment{g}", f"garment{g}", (f"c{c}",), 900 - c) for g in range(50) for c in range(19)]
    concepts += [
        (f"c{c} size{s} garment{g}", f"garment{g}", (f"c{c}", f"size{s}"), 30 - s)
        for g in range(50)
        for c in range(19)
        for s in range(20)
    ]
    assert len(concepts) == MANY
    prototypes = {i: [(f"p{(i + k) % 500}", 0.5 - k / 10) for k in range(4)] for i in range(MANY)}
    graph = make_graph(concepts, prototypes)
    Image.effect_noise((64, 64), 60).convert("RGB").save(folder / "p.jpg")
    (folder / "t.csv").write_text("id,image\n" + "".join(f"p{number},p.jpg\n" for number in range(500)))
    write_page(graph, folder / "graph.html", open_pictures(graph, folder / "t.csv", "image"))
    return folder / "graph.html"


def test_search_shows_matches_with_their_path(chromium: Any, page: Path) -> None:
    chromium.open(page)
    assert chromium.run(ROWS)[:2] == ["t-shirt", "dress"]  # roots by frequency
    chromium.click("#search")
    chromium.type("V-Neck  t shirt")
    assert chromium.run(ROWS) == ["v-neck t-shirt", "white v-neck t-shirt"]
    notes = chromium.run("[...document.querySelectorAll('.row')].map(row => row.querySelector('.note').textContent)")
    assert notes == ["t-shirt", "t-shirt \u203a white t-shirt"]
    assert chromium.run("document.getElementById('status').textContent").startswith("2 of ")
    assert "v-neck" in chromium.run("[...document.querySelectorAll('mark')].map(one => one.textContent)")
    chromium.type(" nonsense")
    assert chromium.run(ROWS) == []
    chromium.press("Escape")
    assert chromium.run(ROWS)[:2] == ["t-shirt", "dress"]


def test_keys_open_and_close_the_tree(chromium: Any, page: Path) -> None:
    chromium.open(page)
    chromium.run("document.getElementById('tree').focus()")
    chromium.press("ArrowDown")
    assert chromium.run(CHOSEN) == "t-shirt"
    chromium.press("ArrowRight", 2)
    assert chromium.run(ROWS)[:3] == ["t-shirt", "white t-shirt", "v-neck t-shirt"]
    assert chromium.run(CHOSEN) == "white t-shirt"
    chromium.press("ArrowRight", 2)
    assert chromium.run(CHOSEN) == "white v-neck t-shirt"
    levels = "[...document.querySelectorAll('.row')].slice(0, 4).map(row => row.getAttribute('aria-level'))"
    assert chromium.run(levels) == ["1", "2", "3", "2"]
    active = "document.getElementById(document.getElementById('tree').getAttribute('aria-activedescendant'))"
    assert chromium.run(f"{active}.textContent").startswith("white v-neck t-shirt")
    assert chromium.run("document.getElementById('detail').textContent.includes('Also a kind ofv-neck t-shirt')")
    chromium.press("ArrowLeft", 3)
    assert chromium.run(CHOSEN) == "t-shirt"
    chromium.press("ArrowLeft")
    assert chromium.run(ROWS)[:2] == ["t-shirt", "dress"]
    chromium.press("End")
    assert chromium.run(CHOSEN) == chromium.run(ROWS)[-1]


def test_mouse_opens_and_pictures_are_decoded(chromium: Any, page: Path) -> None:
    chromium.open(page)
    assert chromium.run(loaded("#row0")) == [96, 96, 96]
    chromium.click("#row0 .toggle")
    assert chromium.run(ROWS)[:3] == ["t-shirt", "white t-shirt", "v-neck t-shirt"]
    chromium.click("#row0 .label")
    assert chromium.run(loaded("#detail")) == [96, 96, 96]
    captions = chromium.run("[...document.querySelectorAll('figcaption')].map(one => one.textContent)")
    assert captions == ["0.312 p1", "0.100 p2", "0.250 p1#1"]


def test_the_address_keeps_search_and_concept(chromium: Any, page: Path) -> None:
    chromium.open(page, "#q=dress")
    assert chromium.run(ROWS) == ["dress"]
    chromium.click("#search")
    chromium.type("es")
    chromium.wait("location.hash === '#q=dresses'")
    chromium.open(page, "#c=white+v-neck+t-shirt")
    assert chromium.run(CHOSEN) == "white v-neck t-shirt"
    assert chromium.run("document.querySelector('#detail h2').textContent") == "white v-neck t-shirt"
    chromium.click("#detail .path button")
    chromium.wait("location.hash === '#c=t-shirt'")


def test_hostile_phrases_are_only_text(chromium: Any, page: Path, shirts: ConceptGraph) -> None:
    chromium.open(page)
    assert chromium.run("document.title").endswith("concept graph")
    assert set(chromium.run(ROWS)) == {c.phrase for c in shirts.concepts if c.depth == 0}
    assert chromium.run("document.querySelectorAll('script').length") == 2


def test_twenty_thousand_concepts(chromium: Any, big: Path) -> None:
    chromium.open(big)
    count = "document.querySelectorAll('.row').length"
    assert 10 <= chromium.run(count) <= 40
    chromium.click("#expand")
    assert chromium.run(count) <= 40
    assert chromium.run("document.getElementById('tree').scrollHeight") > MANY * 50
    chromium.run("document.getElementById('tree').focus()")
    chromium.press("End")
    assert chromium.run(CHOSEN) == "c18 size19 garment49"
    assert chromium.run(count) <= 40
    assert set(chromium.run(loaded(".row"))) == {64}
    chromium.click("#search")
    chromium.type("size7 garment31")
    assert chromium.run("document.getElementById('status').textContent") == "19 of 20,000 concepts match"
    assert all("size7 garment31" in row for row in chromium.run(ROWS))
    chromium.press("ArrowDown")
    chromium.press("Enter")
    assert chromium.run(CHOSEN) == "c0 size7 garment31"
    assert chromium.run(count) <= 40


def test_every_row_has_a_place_of_its_own_while_scrolling(chromium: Any, big: Path) -> None:
    chromium.open(big)
    chromium.click("#expand")
    for top in (0, 5_000, 5_026, 400_000, 100):
        chromium.run(f"void (document.getElementById('tree').scrollTop = {top})")
        chromium.settle()
        tops = chromium.run("[...document.querySelectorAll('.row')].map(row => row.offsetTop)")
        assert tops == list(range(tops[0], tops[0] + 52 * len(tops), 52))
        assert tops[0] <= top and tops[-1] + 52 >= top + chromium.run("document.getElementById('tree').clientHeight")
