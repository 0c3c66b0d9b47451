"""The demo's report is one file that needs nothing else, and shows what it is given."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo"
MODULES = ("demo_report", "demo_content", "run")
VOID = {"meta", "img", "br"}


@pytest.fixture(scope="module")
def demo() -> Iterator[SimpleNamespace]:
    """The demo's scripts, which import each other as neighbours."""
    sys.path.insert(0, str(DEMO))
    try:
        yield SimpleNamespace(**{name: __import__(name) for name in MODULES})
    finally:
        sys.path.remove(str(DEMO))
        for name in MODULES:
            sys.modules.pop(name, None)


class Page(HTMLParser):
    """Collects addresses, points of lines, and tags left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.lines: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.sources += [found[name] or "" for name in ("src", "href") if name in found]
        if tag == "polyline":
            self.lines.append(found["points"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"


def scores(mean_recall: float) -> dict[str, object]:
    names = [
        f"{direction}_{m}" for direction in ("image_to_text", "text_to_image") for m in ("R@1", "R@5", "R@10", "MRR")
    ]
    rule = {"mean_recall": mean_recall, "gallery_size": 20, "hit_rule": "same product id"}
    return {**dict.fromkeys(names, 50.0), **rule}


@pytest.fixture
def content(demo: SimpleNamespace) -> object:
    """Two steps, one evaluation, one query with a hit and a miss, a concept with one kind; four different pictures."""
    report = demo.demo_report
    pictures = [report.Picture(b"jpeg %d" % number, f"caption <{number}> & more") for number in range(4)]
    step = {"train/itc_loss": 2.0, "train/cva_loss": 4.0, "train/loss": 2.4, "train/cva_weight": 0.2}
    evaluation = {"eval/mean_recall": 40.0, "eval/image_to_text_R@1": 30.0, "eval/text_to_image_R@1": 20.0}
    kind = report.ConceptNode("red dress", 3, [pictures[2]])
    return report.DemoContent(
        history=[{"step": 1, **step}, {"step": 2, **step}, {"step": 2, **evaluation}],
        before=scores(1.0),
        after=scores(41.5),
        queries=[
            report.QueryResult(
                "a <b>dress</b>", 3, [report.Found(pictures[0], 0.9, True), report.Found(pictures[1], 0.5, False)]
            )
        ],
        query_hits=(12, 50.0, 75.0),
        concepts=[report.ConceptNode("dress", 7, [], [kind], others=5)],
        summary={"products": "train 20"},
        samples=[pictures[3]],
        stages=[report.Stage("Train", "easynlp --x='a b' && next", 75.0)],
    )


def test_report_loads_nothing_from_outside(demo: SimpleNamespace, content: object) -> None:
    text = demo.demo_report.build_report(content)
    page = Page(text)
    assert len(page.sources) == 4
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert not re.search(r"https?://|@import|url\(|<script|<link", text)
    assert page.open == []


def test_every_picture_is_inside_once(demo: SimpleNamespace, content: object) -> None:
    assert len(set(Page(demo.demo_report.build_report(content)).sources)) == 4


def test_curves_have_a_line_per_quantity(demo: SimpleNamespace, content: object) -> None:
    lines = Page(demo.demo_report.build_report(content)).lines
    assert [len(points.split()) for points in lines] == [2, 2, 2, 1, 1, 1, 2]


def test_hits_and_misses_are_marked_in_words(demo: SimpleNamespace, content: object) -> None:
    text = demo.demo_report.build_report(content)
    assert "<b>1. hit</b> 0.90" in text and "<b>2. miss</b> 0.50" in text
    assert "1 of 2 possible hits; 3 products answer it" in text


def test_texts_are_escaped(demo: SimpleNamespace, content: object) -> None:
    text = demo.demo_report.build_report(content)
    assert "a &lt;b&gt;dress&lt;/b&gt;" in text and "a <b>dress" not in text
    assert "easynlp --x=&#x27;a b&#x27; &amp;&amp; next" in text


def test_table_shows_before_after_and_gain(demo: SimpleNamespace, content: object) -> None:
    text = demo.demo_report.build_report(content)
    assert "<td>1.00</td><td>41.50</td><td>+40.50</td>" in text
    assert "1 min 15 s" in text


def test_graph_shows_kinds_below_their_concept(demo: SimpleNamespace, content: object) -> None:
    tree = demo.demo_report.build_report(content).split('<ul class="tree">')[1]
    assert tree.index("<b>dress</b>") < tree.index("<ul>") < tree.index("<b>red dress</b>")
    assert "and 5 more kinds" in tree


def test_shares_of_queries_with_a_hit(demo: SimpleNamespace) -> None:
    order = np.array([[1, 0, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5]])
    relevant = np.zeros((3, 6), dtype=bool)
    relevant[0, 1] = True  # first
    relevant[1, 2] = True  # fourth
    relevant[2, 5] = True  # sixth
    total, first, five = demo.demo_content.hit_shares(order, relevant)
    assert (total, round(first, 1), round(five, 1)) == (3, 33.3, 66.7)


def test_queries_are_taken_at_even_distances(demo: SimpleNamespace) -> None:
    assert demo.demo_content.evenly_spaced(list(range(100)), 3) == [0, 50, 99]
    assert demo.demo_content.evenly_spaced([1, 2], 3) == [1, 2]


def test_demo_goes_through_the_real_commands(demo: SimpleNamespace) -> None:
    stages = demo.run.demo_commands(Path("a folder/demo"), 50, 96, 1)
    words = [shlex.split(command) for _, command in stages]
    assert [one[0] for one in words] == ["fashionklip", "fashionklip", "easynlp", "easynlp", "easynlp"]
    assert "--tables=a folder/demo/catalogue/train.csv,a folder/demo/catalogue/valid.csv" in words[3]


def test_demo_leaves_a_folder_of_others_alone(demo: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(SystemExit) as stop:
        demo.run.fresh_folder(tmp_path)
    assert stop.value.code == 2
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_demo_empties_the_folder_of_an_earlier_one(demo: SimpleNamespace, tmp_path: Path) -> None:
    demo.run.fresh_folder(tmp_path / "demo")
    (tmp_path / "demo" / "old.txt").touch()
    demo.run.fresh_folder(tmp_path / "demo")
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [demo.run.MARK]
