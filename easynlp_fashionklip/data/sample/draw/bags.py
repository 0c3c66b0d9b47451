"""Tote bags, backpacks and clutches."""

from __future__ import annotations

import numpy as np

from easynlp_fashionklip.data.sample.attributes import Attributes
from easynlp_fashionklip.data.sample.draw import details
from easynlp_fashionklip.data.sample.draw.canvas import Canvas
from easynlp_fashionklip.data.sample.draw.fabric import tone
from easynlp_fashionklip.data.sample.draw.geometry import Points, band, outline, symmetric


def draw_tote(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A tote bag: an open body, wider at the top, with two long handles."""
    top, low = -0.16 + float(rng.uniform(-0.05, 0.05)), 0.82
    wide, foot = float(rng.uniform(0.56, 0.68)), float(rng.uniform(0.50, 0.58))
    peak = top - float(rng.uniform(0.5, 0.72))
    far = outline((-0.27, top + 0.02), (-0.27, peak - 0.04, 0.02, peak - 0.04), (0.31, peak - 0.04, 0.31, top + 0.02))
    near = outline((-0.32, top + 0.14), (-0.32, peak + 0.05, 0, peak + 0.05), (0.32, peak + 0.05, 0.32, top + 0.14))
    canvas.cloth(band(far, 0.07), shade=0.72)
    canvas.cloth(symmetric((0, top - 0.05), (wide * 0.7, top - 0.05, wide, top), (0, top + 0.06)), shade=0.60)
    canvas.cloth(
        symmetric(
            (0, top + 0.03),
            (wide * 0.7, top + 0.03, wide, top),
            (wide, low * 0.6, foot, low),
            (foot * 0.5, low + 0.03, 0, low + 0.03),
        )
    )
    canvas.seam(symmetric((wide * 0.99, top + 0.09), (wide * 0.7, top + 0.12, 0, top + 0.12)))
    for sign in (1, -1):
        canvas.fold(outline((sign * wide * 0.8, top + 0.2), (sign * foot * 0.75, low - 0.1)), 0.90, 0.05)
    if attributes.detail == "patch pocket":
        details.patch_pocket(canvas, 0, 0.36, 0.24)
    canvas.cloth(band(near, 0.08), shade=0.92)
    for x in (0.32, -0.32):
        canvas.dot(x, top + 0.11, 0.022, details.GOLD)


def draw_backpack(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A backpack: a rounded body, a front pocket, zips, a top loop and straps at the sides."""
    half, top = float(rng.uniform(0.46, 0.54)), float(rng.uniform(-0.74, -0.66))
    for sign in (1, -1):
        strap = outline((0.20, top + 0.10), (half + 0.34, top + 0.25, half + 0.10, 0.45), (half - 0.05, 0.66))
        canvas.cloth(band(strap * (sign, 1), 0.12), shade=0.72)
    loop = outline((-0.13, top + 0.05), (-0.13, top - 0.20, 0, top - 0.19), (0.13, top - 0.20, 0.13, top + 0.05))
    canvas.cloth(band(loop, 0.055), shade=0.8)
    canvas.cloth(
        symmetric(
            (0, top), (half, top, half, top + 0.45), (half + 0.04, 0.70), (half, 0.86, half - 0.12, 0.86), (0, 0.86)
        )
    )
    arch = outline(
        (-half + 0.04, 0.10), (-half + 0.04, top + 0.14, 0, top + 0.14), (half - 0.04, top + 0.14, half - 0.04, 0.10)
    )
    _zip(canvas, arch)
    pocket = symmetric(
        (0, 0.16),
        (half - 0.16, 0.14, half - 0.10, 0.30),
        (half - 0.09, 0.68),
        (half - 0.12, 0.78, half - 0.2, 0.78),
        (0, 0.78),
    )
    canvas.cloth(pocket, shade=0.90)
    _zip(canvas, outline((-half + 0.15, 0.30), (0, 0.23, half - 0.15, 0.30)))
    canvas.line(outline((half - 0.17, 0.30), (half - 0.17, 0.40)), details.METAL, 0.03)


def _zip(canvas: Canvas, path: Points) -> None:
    canvas.line(path, tone(canvas.fabric.colour, 0.55), 0.045)
    canvas.line(path, details.METAL, 0.018)


def draw_clutch(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A clutch: a flat bag with a flap and a clasp, or a strap for the wrist."""
    half, top, low = float(rng.uniform(0.80, 0.92)), -0.40, float(rng.uniform(0.36, 0.50))
    pointed = bool(rng.random() < 0.5)
    if attributes.detail == "wrist strap":
        strap = outline(
            (half - 0.02, top + 0.12),
            (half + 0.22, 0.2, half - 0.05, 0.80),
            (half - 0.35, 0.85, half - 0.02, top + 0.16),
        )
        canvas.cloth(band(strap, 0.05), shade=0.85)
    canvas.cloth(
        symmetric(
            (0, top),
            (half - 0.05, top),
            (half, top, half, top + 0.06),
            (half + 0.01, low - 0.06),
            (half, low, half - 0.06, low),
            (0, low),
        )
    )
    tip = low - 0.26 if pointed else low - 0.36
    side = (half, top + 0.12) if pointed else (half, tip - 0.12)
    bend = (half * 0.45, tip - 0.03, 0, tip) if pointed else (half, tip, half - 0.12, tip)
    canvas.cloth(
        symmetric((0, top - 0.01), (half - 0.05, top - 0.01), (half, top, half, top + 0.06), side, bend, (0, tip)),
        shade=1.03,
    )
    canvas.fold(symmetric((0, tip + 0.04), (half * 0.5, tip + 0.02)), 0.8, 0.05)
    canvas.dot(0, tip - 0.07, 0.055, details.GOLD)
    for x in np.array([1, -1]) * (half - 0.06):
        canvas.seam(outline((x, low - 0.04), (x, low - 0.16)))
