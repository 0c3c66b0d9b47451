"""Stacked bars as a standalone SVG: what each side spends its time on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 720, 190, 70, 26, 14, 64
# Told apart by people who see colours otherwise, too, and on light and dark ground.
COLOURS = ("#4477aa", "#66ccee", "#ee6677", "#ccbb44", "#228833")
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.value{font-size:11px}.grid{stroke:#8888}"
    "@media(prefers-color-scheme:dark){text{fill:#eee}}"
)


def stacked_bars(title: str, parts: Sequence[str], rows: Mapping[str, Sequence[float]], unit: str) -> str:
    """An SVG document with one horizontal bar for each row.

    Args:
        title: above the bars, and read out by screen readers.
        parts: what a bar is made of, left to right; at most as many as there are colours.
        rows: name of each bar to the lengths of its parts, in `unit`.
        unit: of the lengths.
    """
    longest = max((sum(lengths) for lengths in rows.values()), default=0.0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / longest
    height = TOP + len(rows) * (BAR + GAP) + GAP
    body = [f'<text x="8" y="22" font-weight="600">{escape(title)}</text>', *_legend(parts)]
    for number, (name, lengths) in enumerate(rows.items()):
        body += _bar(name, parts, lengths, TOP + number * (BAR + GAP), scale, unit)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}"><style>{_STYLE}</style>{"".join(body)}</svg>\n'
    )


def _legend(parts: Sequence[str]) -> list[str]:
    drawn, x = [], 8
    for part, colour in zip(parts, COLOURS, strict=False):
        drawn.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>')
        drawn.append(f'<text x="{x + 18}" y="45">{escape(part)}</text>')
        x += 42 + 7 * len(part)
    return drawn


def _bar(name: str, parts: Sequence[str], lengths: Sequence[float], top: int, scale: float, unit: str) -> list[str]:
    middle = top + BAR / 2 + 4
    drawn = [f'<text x="{LEFT - 10}" y="{middle:.0f}" text-anchor="end">{escape(name)}</text>']
    x = float(LEFT)
    for part, length, colour in zip(parts, lengths, COLOURS, strict=False):
        drawn.append(
            f'<rect x="{x:.1f}" y="{top}" width="{length * scale:.1f}" height="{BAR}" fill="{colour}">'
            f"<title>{escape(name)}, {escape(part)}: {length:.2f} {escape(unit)}</title></rect>"
        )
        x += length * scale
    drawn.append(f'<text class="value" x="{x + 6:.1f}" y="{middle:.0f}">{sum(lengths):.1f} {escape(unit)}</text>')
    return drawn
