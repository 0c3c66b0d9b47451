"""Sneakers, boots and heels from the side, sandals from above; always as a pair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from easynlp_fashionklip.data.sample.attributes import Attributes, Colour
from easynlp_fashionklip.data.sample.draw.canvas import Canvas
from easynlp_fashionklip.data.sample.draw.details import GOLD, METAL, RUBBER, SOLE
from easynlp_fashionklip.data.sample.draw.fabric import luminance, tone
from easynlp_fashionklip.data.sample.draw.geometry import Points, Step, band, mirrored, outline

Move = Callable[..., Points]


def _moved(x: float, y: float, scale: float = 1.0, stretch: float = 1.0) -> Move:
    """Outlines of one shoe of the pair: scaled (in height also by `stretch`), then shifted."""

    def place(*steps: Step) -> Points:
        return outline(*steps) * (scale, scale * stretch) + (x, y)

    return place


def _pair(low: float) -> tuple[Move, Move]:
    """The far shoe, up and to the left, then the near one."""
    return _moved(-0.10, low - 0.27, 0.84), _moved(0.06, low, 0.92)


def draw_sneakers(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """Sneakers with a rubber sole and laces; high tops cover the ankle."""
    rise = 0.36 if attributes.length == "high top" else 0.0
    striped = bool(rng.random() < 0.5)
    for move in _pair(0.22 + rise / 3):
        _sneaker(canvas, move, rise + 0.03, striped)


def _sneaker(canvas: Canvas, move: Move, rise: float, striped: bool) -> None:
    canvas.cloth(
        move(
            (-0.72, 0.26),
            (-0.82, 0.0, -0.74, -0.26 - rise),
            (-0.62, -0.22 - rise, -0.44, -0.24 - rise),
            (-0.30, -0.24 - rise, -0.14, -0.36 - rise),
            (-0.02, -0.30 - rise, 0.26, -0.06),
            (0.50, -0.02, 0.70, 0.06),
            (0.88, 0.12, 0.88, 0.26),
        )
    )
    canvas.cloth(
        move((0.40, 0.26), (0.40, 0.10, 0.52, 0.01), (0.60, 0.01, 0.72, 0.07), (0.88, 0.12, 0.88, 0.26)), shade=0.86
    )
    canvas.cloth(move((-0.72, 0.26), (-0.79, 0.10, -0.77, -0.04), (-0.58, 0.0, -0.52, 0.26)), shade=0.86)
    canvas.trim(
        move((-0.76, 0.23), (0.90, 0.23), (0.94, 0.40, 0.86, 0.41), (-0.74, 0.41), (-0.84, 0.40, -0.76, 0.23)), RUBBER
    )
    canvas.line(move((-0.77, 0.35), (0.90, 0.35)), (190, 188, 182), 0.012)
    lace = RUBBER if luminance(canvas.fabric.colour) < 170 else (92, 92, 96)
    for share in np.linspace(0.0, 1.0, 5 if rise > 0.2 else 4):
        x, y = 0.30 - 0.40 * share, 0.0 - (0.24 + rise) * share
        canvas.line(move((x - 0.13, y + 0.02), (x + 0.06, y - 0.06)), lace, 0.032)
    if striped and canvas.fabric.plain:
        for x in (-0.34, -0.20, -0.06):
            canvas.line(move((x, 0.22), (x + 0.12, -0.04)), canvas.fabric.accent, 0.04)


def draw_boots(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """Ankle boots or knee high boots, with a low heel."""
    top = -0.32 if attributes.length == "ankle" else -1.25
    low = 0.22 if attributes.length == "ankle" else 0.44
    scale = 0.95 if attributes.length == "ankle" else 0.82
    heel = float(rng.uniform(0.08, 0.18))
    width = 0.02 if attributes.gender == "women" else 0.07
    for move in (_moved(-0.14, low - 0.20, scale * 0.92), _moved(0.04, low, scale)):
        _boot(canvas, move, top, heel, width)
        _boot_detail(canvas, move, attributes.detail, top)


def _boot(canvas: Canvas, move: Move, top: float, heel: float, width: float) -> None:
    canvas.cloth(
        move(
            (-0.60 - width, top),
            (0.02 + width, top - 0.03),
            (-0.03 + width, (top - 0.06) / 2, 0.02 + width, -0.06),
            (0.14, 0.10, 0.40, 0.12),
            (0.82, 0.16, 0.84, 0.44),
            (-0.62, 0.44),
            (-0.60, 0.1, -0.56 - width, -0.1),
            (-0.64 - width, top * 0.6, -0.60 - width, top),
        )
    )
    canvas.trim(move((-0.62, 0.43), (0.85, 0.43), (0.88, 0.50, 0.82, 0.51), (-0.63, 0.51)), SOLE)
    canvas.trim(move((-0.62, 0.50), (-0.22, 0.50), (-0.26, 0.51 + heel), (-0.60, 0.51 + heel)), SOLE)
    canvas.fold(move((-0.50, 0.05), (-0.25, -0.05, 0.02, 0.02)), 0.80)
    canvas.fold(move((-0.46, 0.18), (-0.15, 0.05, 0.15, 0.12)), 0.84)
    canvas.seam(move((0.40, 0.43), (0.38, 0.25, 0.50, 0.14)))
    canvas.seam(move((-0.58 - width, top + 0.07), (0.02 + width, top + 0.04)))


def _boot_detail(canvas: Canvas, move: Move, detail: str, top: float) -> None:
    if detail == "zip closure":
        canvas.line(move((-0.30, top + 0.04), (-0.28, 0.30)), METAL, 0.035)
    if detail == "lace closure":
        lace = RUBBER if luminance(canvas.fabric.colour) < 150 else (70, 60, 54)
        for y in np.arange(top + 0.10, 0.04, 0.11):
            canvas.line(move((-0.16, y + 0.05), (0.04, y)), lace, 0.03)


def draw_heels(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """Pumps with a high thin heel."""
    stretch, block = float(rng.uniform(0.95, 1.12)), bool(rng.random() < 0.35)
    for move in (_moved(-0.10, -0.16, 0.86, stretch), _moved(0.04, 0.14, 0.95, stretch)):
        _heel(canvas, move, block)
        if attributes.detail == "ankle strap":
            canvas.cloth(
                band(
                    move(
                        (-0.66, -0.44),
                        (-0.68, -0.56, -0.52, -0.58),
                        (-0.28, -0.60, -0.26, -0.50),
                        (-0.34, -0.42, -0.66, -0.46),
                    ),
                    0.055,
                ),
                edge=False,
            )
            canvas.line(move((-0.30, -0.56), (-0.30, -0.44)), GOLD, 0.04)


def _heel(canvas: Canvas, move: Move, block: bool) -> None:
    inner, tip = (-0.40, -0.42) if block else (-0.52, -0.61)
    canvas.cloth(
        move((-0.74, -0.06), (inner, 0.08), (inner - 0.04, 0.25, tip, 0.52), (-0.69, 0.52), (-0.70, 0.2, -0.74, -0.06)),
        shade=0.84,
    )
    lining = tone((222, 190, 160), 1.0)
    canvas.trim(
        move(
            (-0.68, -0.36),
            (-0.30, -0.10, 0.10, 0.22),
            (0.40, 0.30, 0.34, 0.20),
            (0.0, 0.0, -0.30, -0.16),
            (-0.52, -0.30, -0.68, -0.36),
        ),
        lining,
    )
    canvas.cloth(
        move(
            (-0.74, -0.05),
            (-0.80, -0.25, -0.68, -0.42),
            (-0.50, -0.06, -0.12, 0.10),
            (0.14, 0.22, 0.34, 0.17),
            (0.70, 0.26, 0.88, 0.46),
            (0.86, 0.51),
            (0.55, 0.53, 0.30, 0.48),
            (0.0, 0.40, -0.25, 0.20),
            (-0.42, 0.06, -0.60, 0.06),
        )
    )
    canvas.fold(move((0.36, 0.24), (0.62, 0.30, 0.80, 0.44)), 1.12, 0.05)
    canvas.line(move((0.86, 0.52), (0.55, 0.54, 0.30, 0.49), (0.0, 0.41, -0.25, 0.21)), SOLE, 0.022)


def draw_sandals(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """Flat sandals from above: two footbeds with straps across toes, instep and heel."""
    bed: Colour = (196, 156, 112) if luminance(canvas.fabric.colour) < 165 else (140, 98, 66)
    width = float(rng.uniform(0.9, 1.05)) * (0.92 if attributes.gender == "women" else 1.05)
    crossed = bool(rng.random() < 0.5)
    for sign in (-1, 1):
        _sandal(canvas, sign, width, bed, crossed)
        if attributes.detail == "buckle closure":
            canvas.line(
                np.array([[0.62, 0.15], [0.70, 0.15], [0.70, 0.26], [0.62, 0.26], [0.62, 0.15]]) * (sign, 1),
                GOLD,
                0.024,
            )


def _sandal(canvas: Canvas, sign: int, width: float, bed: Colour, crossed: bool) -> None:
    def place(*steps: Step) -> Points:
        right = (outline(*steps) - (0.42, 0)) * (width, 1) + (0.42, 0)
        return right if sign > 0 else mirrored(right)

    canvas.trim(
        place(
            (0.36, -0.86),
            (0.16, -0.80, 0.14, -0.45),
            (0.14, -0.2, 0.22, 0.1),
            (0.24, 0.3, 0.20, 0.55),
            (0.20, 0.86, 0.42, 0.87),
            (0.64, 0.86, 0.63, 0.55),
            (0.62, 0.3, 0.70, -0.1),
            (0.78, -0.5, 0.64, -0.72),
            (0.52, -0.90, 0.36, -0.86),
        ),
        bed,
    )
    canvas.fold(place((0.42, 0.40), (0.42, 0.70)), 0.93, 0.25)
    if crossed:
        straps = [((0.12, -0.52), (0.45, -0.42, 0.70, -0.12)), ((0.75, -0.52), (0.45, -0.42, 0.17, -0.12))]
    else:
        straps = [((0.12, -0.52), (0.42, -0.68, 0.75, -0.50)), ((0.14, -0.30), (0.42, -0.44, 0.73, -0.28))]
    for path in (
        *straps,
        ((0.21, 0.20), (0.42, 0.04, 0.65, 0.20)),
        ((0.19, 0.50), (0.16, 0.2, 0.21, 0.18)),
        ((0.64, 0.50), (0.69, 0.2, 0.65, 0.18)),
    ):
        canvas.cloth(band(place(*path), 0.13 if path in straps else 0.10))
