"""The stacked bars of the inference benchmark are drawn to scale, in a picture that needs nothing else."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "benchmarks" / "inference_chart.py"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def chart() -> ModuleType:
    spec = importlib.util.spec_from_file_location("inference_chart", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bars(svg: str) -> list[tuple[str, float, float]]:
    """(what a rectangle says, its left edge, its width) of each part of a bar."""
    found = []
    for rectangle in ET.fromstring(svg).iter(f"{SVG}rect"):
        title = rectangle.find(f"{SVG}title")
        if title is not None:
            found.append((title.text or "", float(rectangle.attrib["x"]), float(rectangle.attrib["width"])))
    return found


def test_parts_follow_each_other_to_scale(chart: ModuleType) -> None:
    svg = chart.stacked_bars("a <title>", ["decode", "tower"], {"ours": [1.0, 3.0], "theirs": [2.0, 6.0]}, "ms")
    drawn = bars(svg)
    assert [text for text, _, _ in drawn] == [
        "ours, decode: 1.00 ms",
        "ours, tower: 3.00 ms",
        "theirs, decode: 2.00 ms",
        "theirs, tower: 6.00 ms",
    ]
    widths = [width for _, _, width in drawn]
    assert [width / widths[0] for width in widths] == pytest.approx([1, 3, 2, 6], rel=1e-2)
    for first, second in ((0, 1), (2, 3)):
        assert drawn[second][1] == pytest.approx(drawn[first][1] + drawn[first][2], abs=0.2)
    assert drawn[3][1] + drawn[3][2] <= chart.WIDTH - chart.RIGHT + 0.2
    texts = [text.text for text in ET.fromstring(svg).iter(f"{SVG}text")]
    assert texts == ["a <title>", "decode", "tower", "ours", "4.0 ms", "theirs", "8.0 ms"]


def test_nothing_to_draw(chart: ModuleType) -> None:
    assert bars(chart.stacked_bars("empty", ["decode"], {"ours": [0.0]}, "ms")) == [
        ("ours, decode: 0.00 ms", 190.0, 0.0)
    ]
    assert bars(chart.stacked_bars("empty", ["decode"], {}, "ms")) == []
