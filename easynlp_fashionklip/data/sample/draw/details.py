"""Pockets, zips, buttons and other small things."""

from __future__ import annotations

import numpy as np

from easynlp_fashionklip.data.sample.attributes import Colour
from easynlp_fashionklip.data.sample.draw.canvas import Canvas
from easynlp_fashionklip.data.sample.draw.fabric import luminance, tone
from easynlp_fashionklip.data.sample.draw.geometry import outline, shifted, symmetric

METAL: Colour = (176, 178, 184)
GOLD: Colour = (206, 168, 88)
RUBBER: Colour = (244, 243, 238)
SOLE: Colour = (62, 48, 40)


def button_colour(canvas: Canvas) -> Colour:
    """Pale on dark cloth, brownish on light cloth."""
    return (232, 226, 214) if luminance(canvas.fabric.colour) < 120 else (96, 74, 60)


def lining(canvas: Canvas) -> Colour:
    """The colour inside a tailored garment: white like a shirt under dark cloth, a dark tone of light cloth."""
    return (240, 240, 238) if luminance(canvas.fabric.colour) < 140 else tone(canvas.fabric.colour, 0.55)


def button(canvas: Canvas, x: float, y: float, radius: float = 0.024) -> None:
    """One button."""
    canvas.dot(x, y, radius, button_colour(canvas))


def placket(canvas: Canvas, top: float, low: float, half_width: float, buttons: int, radius: float = 0.024) -> None:
    """The buttoned strip down the front."""
    strip = symmetric((0, top), (half_width, top), (half_width, low), (0, low))
    canvas.cloth(strip, shade=0.97)
    for y in np.linspace(top + 0.08, low - 0.10, buttons):
        button(canvas, 0, float(y), radius)


def zip_line(canvas: Canvas, top: float, low: float) -> None:
    """A metal zip with its slider."""
    canvas.line(outline((0, top), (0, low)), tone(canvas.fabric.colour, 0.6), 0.06)
    canvas.line(outline((0, top), (0, low)), METAL, 0.03)
    canvas.line(outline((0, top + 0.02), (0, top + 0.11)), (120, 122, 128), 0.05)


def patch_pocket(canvas: Canvas, x: float, y: float, half_width: float) -> None:
    """A pocket sewn on, around (x, y)."""
    low = half_width * 1.25
    shape = outline(
        (-half_width, -half_width),
        (half_width, -half_width),
        (half_width, low * 0.75),
        (0, low),
        (-half_width, low * 0.75),
    )
    canvas.cloth(shifted(shape, x, y), shade=0.93)
    canvas.seam(shifted(outline((-half_width, -half_width * 0.62), (half_width, -half_width * 0.62)), x, y))


def flap_pocket(canvas: Canvas, x: float, y: float, half_width: float) -> None:
    """A flap over a pocket."""
    shape = outline((-half_width, 0), (half_width, 0), (half_width, 0.085), (0, 0.10, -half_width, 0.085))
    canvas.cloth(shifted(shape, x, y), shade=0.84)


def kangaroo_pocket(canvas: Canvas, low: float, half_width: float) -> None:
    """The wide pocket of a hoodie, its bottom at `low`."""
    top = low - 0.30
    canvas.cloth(
        symmetric((0, top), (half_width * 0.6, top), (half_width, low - 0.10), (half_width, low), (0, low)), shade=0.90
    )


def slit(canvas: Canvas, x: float, y: float, sign: int) -> None:
    """A slanting pocket opening."""
    path = shifted(outline((0, -0.10), (0.06 * sign, 0.10)), x, y)
    canvas.seam(path, 0.03)
    canvas.fold(path, 0.7, 0.05)
