"""Line charts: round ticks, lines from edge to edge."""

from __future__ import annotations

import re

import pytest

from easynlp_fashionklip.evaluation import svg_charts


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(100.0, [0, 25, 50, 75, 100]), (0.15, [0, 0.05, 0.1, 0.15]), (7.2, [0, 2, 4, 6, 8]), (0.0, [0, 1])],
)
def test_ticks_are_round_and_reach_the_largest(largest: float, expected: list[float]) -> None:
    assert svg_charts.ticks(largest, 4) == expected


def test_line_spans_the_chart() -> None:
    series = [svg_charts.Series("x", 1, [(0, 0.0), (10, 4.0)])]
    points = re.findall(
        'points="([^"]*)"', svg_charts.line_chart(series, title="t", x_label="step", y_label="u", y_max=4)
    )
    bottom, right = svg_charts.HEIGHT - svg_charts.BOTTOM, svg_charts.WIDTH - svg_charts.RIGHT
    assert points == [f"{svg_charts.LEFT:.1f},{bottom:.1f} {right:.1f},{svg_charts.TOP:.1f}"]


def test_chart_without_values_says_so() -> None:
    empty = svg_charts.line_chart([], title="t", x_label="step", y_label="u")
    assert "no values yet" in empty
