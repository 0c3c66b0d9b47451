"""Necklines, collars and hoods."""

from __future__ import annotations

import numpy as np

from easynlp_fashionklip.data.sample.attributes import Colour
from easynlp_fashionklip.data.sample.draw.canvas import Canvas
from easynlp_fashionklip.data.sample.draw.fabric import luminance
from easynlp_fashionklip.data.sample.draw.geometry import Points, band, mirrored, outline, symmetric


def rib(canvas: Canvas, right_half: Points, width: float) -> None:
    """A ribbed band along the front neckline (its right half, from the lowest point up)."""
    for half in (right_half, mirrored(right_half)):
        canvas.cloth(band(half, width), shade=0.85, edge=False)
        for edge in _edges(half, width):
            canvas.seam(edge, 0.01)


def _edges(path: Points, width: float) -> tuple[Points, Points]:
    strip = band(path, width)
    return strip[: len(path)], strip[len(path) :]


def turtleneck(canvas: Canvas, neck: float, neck_y: float) -> None:
    """A high folded neck."""
    top = neck_y - 0.15
    tube = symmetric(
        (0, top + 0.01),
        (neck * 0.6, top + 0.01, neck * 0.93, top),
        (neck * 1.12, neck_y + 0.03),
        (neck * 0.8, neck_y + 0.12, 0, neck_y + 0.13),
    )
    canvas.cloth(tube, shade=0.95)
    for x in np.linspace(-0.8, 0.8, 9):
        canvas.fold(outline((x * neck * 0.93, top + 0.02), (x * neck * 1.08, neck_y + 0.09)), 0.82, 0.012)


def shirt_collar(canvas: Canvas, neck: float, neck_y: float, dip: float) -> None:
    """A collar with two points."""
    stand = symmetric(
        (0, neck_y - 0.05),
        (neck * 0.8, neck_y - 0.07, neck * 1.02, neck_y - 0.02),
        (neck, neck_y + 0.06),
        (0, neck_y + 0.05),
    )
    canvas.cloth(stand, shade=0.72)
    right = outline(
        (0.0, neck_y + dip + 0.01),
        (neck * 0.75, neck_y + dip * 0.6, neck * 0.98, neck_y - 0.04),
        (neck + 0.06, neck_y + 0.06),
        (neck + 0.03, neck_y + dip + 0.12),
    )
    canvas.cloth(right, angle=0.5, shade=1.02)
    canvas.cloth(mirrored(right), angle=-0.5, shade=1.02)


def stand_collar(canvas: Canvas, neck: float, neck_y: float, dip: float) -> None:
    """A short ribbed collar that stands up around the neck, open in front."""
    right = outline(
        (0.005, neck_y + dip - 0.01),
        (neck * 0.95, neck_y + dip - 0.02, neck, neck_y),
        (neck * 0.95, neck_y - 0.12),
        (neck * 0.8, neck_y + dip - 0.16, 0.03, neck_y + dip - 0.13),
    )
    inside = symmetric(
        (0, neck_y - 0.10), (neck * 0.7, neck_y - 0.12, neck * 0.95, neck_y - 0.12), (neck, neck_y), (0, neck_y + dip)
    )
    canvas.cloth(inside, shade=0.66)
    canvas.cloth(right, shade=0.86)
    canvas.cloth(mirrored(right), shade=0.86)


def hood(canvas: Canvas, neck_y: float) -> None:
    """A hood seen from the front, with its dark opening and two drawstrings."""
    outer = symmetric(
        (0, neck_y - 0.38), (0.29, neck_y - 0.38, 0.29, neck_y - 0.06), (0.30, neck_y + 0.12, 0, neck_y + 0.22)
    )
    canvas.cloth(outer, shade=0.97)
    opening = symmetric(
        (0, neck_y - 0.27), (0.18, neck_y - 0.26, 0.18, neck_y - 0.04), (0.15, neck_y + 0.10, 0, neck_y + 0.15)
    )
    canvas.cloth(opening, shade=0.55)
    canvas.fold(outline((0, neck_y - 0.24), (0, neck_y + 0.0)), 0.46)
    cord = cord_colour(canvas)
    for x in (0.07, -0.07):
        canvas.line(outline((x, neck_y + 0.15), (x * 1.5, neck_y + 0.25, x * 1.25, neck_y + 0.40)), cord, 0.022)
        canvas.dot(x * 1.25, neck_y + 0.41, 0.018, cord)


def cord_colour(canvas: Canvas) -> Colour:
    """White on dark cloth, dark grey on light cloth."""
    return (238, 238, 236) if luminance(canvas.fabric.colour) < 150 else (84, 84, 88)


def lapels(canvas: Canvas, neck: float, neck_y: float, deep: float) -> None:
    """Two notched lapels over the front, down to `deep`, with the collar above them."""
    notch = neck_y + (deep - neck_y) * 0.34
    lapel = outline(
        (0, deep), (neck * 0.92, notch), (neck + 0.13, notch - 0.02), (neck + 0.06, notch + 0.12, 0.015, deep)
    )
    collar = outline(
        (neck * 0.90, notch),
        (neck * 0.86, neck_y - 0.06),
        (neck + 0.04, neck_y - 0.03),
        (neck + 0.10, notch - 0.06),
        (neck + 0.07, notch),
    )
    for sign, angle in ((1, 0.45), (-1, -0.45)):
        canvas.cloth(lapel * (sign, 1), angle=angle, shade=0.90)
        canvas.cloth(collar * (sign, 1), angle=angle, shade=0.82)
    back = symmetric((0, neck_y - 0.07), (neck * 0.86, neck_y - 0.06), (neck * 0.8, neck_y + 0.03, 0, neck_y + 0.02))
    canvas.cloth(back, shade=0.80)
