"""Line charts as inline SVG; colours, text and grid come from the page's CSS (classes and custom properties)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 40, 16, 12, 40


@dataclass(frozen=True)
class Series:
    """One line: its name in the legend, the number of its CSS colour (`--series-1`, ...), its points in ascending x."""

    name: str
    colour: int
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axes:
    """Data ranges and where they fall on the page."""

    x_max: float
    y_max: float

    def x(self, value: float) -> float:
        """Pixels from the left; x starts at 0."""
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.x_max

    def y(self, value: float) -> float:
        """Pixels from the top; y starts at 0."""
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / self.y_max)


def ticks(largest: float, about: int = 5) -> list[float]:
    """Round numbers 0, step, 2 step, ... that reach `largest`, with a step of 1, 2, 2.5 or 5 times a power of ten."""
    if not (math.isfinite(largest) and largest > 0):
        return [0.0, 1.0]
    rough = largest / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [round(step * i, 10) for i in range(math.ceil(largest / step - 1e-9) + 1)]


def line_chart(series: Sequence[Series], *, title: str, x_label: str, y_label: str, y_max: float | None = None) -> str:
    """A `<figure>` with a chart; both axes start at 0.

    Args:
        series: the lines, at least one point in all.
        title: above the chart, and read out by screen readers.
        x_label: what x counts.
        y_label: unit of y, beside the title.
        y_max: end of the y axis; None takes the largest value.
    """
    points = [point for one in series for point in one.points]
    if not points:
        return f'<figure class="chart"><figcaption>{escape(title)}</figcaption><p>no values yet</p></figure>'
    x_ticks, y_ticks = ticks(max(x for x, _ in points)), ticks(y_max or max(y for _, y in points), 4)
    axes = Axes(max(max(x for x, _ in points), 1e-9), y_ticks[-1])
    body = [*_grid(axes, [tick for tick in x_ticks if tick <= axes.x_max], y_ticks), *(_line(axes, s) for s in series)]
    return (
        f'<figure class="chart"><figcaption>{escape(title)} <span class="note">{escape(y_label)}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(body)}'
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}'
        f"</text></svg>{_legend(series)}</figure>"
    )


def _legend(series: Sequence[Series]) -> str:
    if len(series) < 2:
        return ""
    keys = (f'<span><i style="background:var(--series-{s.colour})"></i>{escape(s.name)}</span>' for s in series)
    return f'<div class="legend">{"".join(keys)}</div>'


def _grid(axes: Axes, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> list[str]:
    lines = []
    for tick in y_ticks:
        y = axes.y(tick)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    bottom = HEIGHT - BOTTOM + 18
    lines += [
        f'<text class="tick" x="{axes.x(tick):.1f}" y="{bottom}" text-anchor="middle">{tick:g}</text>'
        for tick in x_ticks
    ]
    return lines


def _line(axes: Axes, series: Series) -> str:
    places = [(axes.x(x), axes.y(y), x, y) for x, y in series.points]
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py, _, _ in places)
    stroke = f"stroke:var(--series-{series.colour})"
    drawn = f'<polyline class="line" style="{stroke}" points="{path}"/>'
    radius = 4 if len(places) <= 20 else 0
    return drawn + "".join(
        f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{radius or 5}" '
        f'style="fill:{f"var(--series-{series.colour})" if radius else "transparent"}">'
        f"<title>{escape(series.name)} at {x:g}: {y:.4g}</title></circle>"
        for px, py, x, y in places
    )
