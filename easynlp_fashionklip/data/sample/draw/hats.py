"""Caps, beanies and sun hats."""

from __future__ import annotations

import numpy as np

from easynlp_fashionklip.data.sample.attributes import Attributes
from easynlp_fashionklip.data.sample.draw.canvas import Canvas
from easynlp_fashionklip.data.sample.draw.geometry import ellipse, outline, symmetric


def draw_cap(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A baseball cap from the side, the peak to the right."""
    height = float(rng.uniform(-0.66, -0.56))
    dome = outline(
        (-0.72, 0.28),
        (-0.80, height, -0.12, height),
        (0.46, height, 0.50, 0.16),
        (0.48, 0.26),
        (-0.1, 0.36, -0.72, 0.28),
    )
    canvas.cloth(dome)
    for x, bend in ((-0.42, -0.5), (0.12, 0.16)):
        canvas.seam(outline((-0.12, height), (bend, height * 0.5, x, 0.31)))
    canvas.seam(outline((-0.73, 0.20), (-0.1, 0.27, 0.50, 0.15)))
    peak = outline(
        (0.10, 0.28),
        (0.30, 0.10, 0.50, 0.12),
        (0.90, 0.14, 1.02, 0.36),
        (1.0, 0.44, 0.84, 0.40),
        (0.50, 0.30, 0.10, 0.37),
    )
    canvas.cloth(peak, angle=0.15, shade=0.86)
    canvas.seam(outline((0.24, 0.27), (0.60, 0.20, 0.92, 0.36)))
    canvas.dot(-0.12, height - 0.01, 0.04, canvas.fabric.seam)
    for x in (-0.30, 0.08):
        canvas.dot(x, height * 0.45, 0.018, canvas.fabric.seam)


def draw_beanie(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A ribbed beanie with a folded edge, perhaps a pompom."""
    half, top = float(rng.uniform(0.50, 0.58)), float(rng.uniform(-0.62, -0.50))
    if attributes.detail == "pompom":
        angles = rng.uniform(0, 2 * np.pi, 26)
        reach = rng.uniform(0.02, 0.15, 26)
        for angle, distance in zip(angles, reach, strict=True):
            canvas.trim(
                ellipse(distance * np.cos(angle), top - 0.08 + distance * np.sin(angle), 0.09, 0.09),
                canvas.fabric.accent,
                shade=float(0.82 + 1.1 * distance),
                edge=False,
            )
    canvas.cloth(symmetric((0, top), (half * 0.95, top, half, 0.30), (0, 0.36)))
    for share in np.linspace(-0.9, 0.9, 13):
        canvas.fold(
            outline((share * half * 0.35, top + 0.05), (share * half * 1.05, -0.2, share * half, 0.32)), 0.84, 0.02
        )
    fold = symmetric(
        (0, 0.20),
        (half * 0.6, 0.20, half + 0.04, 0.14),
        (half + 0.07, 0.32, half + 0.03, 0.50),
        (half * 0.6, 0.57, 0, 0.57),
    )
    canvas.cloth(fold, shade=0.94)
    for share in np.linspace(-0.94, 0.94, 17):
        canvas.fold(outline((share * half, 0.21), (share * (half + 0.03), 0.54)), 0.78, 0.02)


def draw_sun_hat(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A sun hat: a wide brim, a round crown, a ribbon."""
    wide, height = float(rng.uniform(0.92, 1.0)), float(rng.uniform(-0.52, -0.40))
    droop = float(rng.uniform(0.26, 0.34))
    canvas.cloth(ellipse(0, 0.26, wide, droop))
    canvas.fold(ellipse(0, 0.24, wide * 0.80, droop * 0.72), 0.92, 0.03)
    canvas.fold(ellipse(0, 0.22, 0.52, 0.13), 0.72, 0.08)
    crown = symmetric((0, height), (0.40, height, 0.46, 0.18), (0.30, 0.31, 0, 0.31))
    canvas.cloth(crown, shade=1.02)
    ribbon = symmetric((0, 0.13), (0.30, 0.13, 0.44, 0.03), (0.47, 0.18), (0.30, 0.31, 0, 0.31))
    canvas.trim(ribbon, canvas.fabric.accent)
    canvas.fold(outline((-0.16, height + 0.08), (0, height + 0.16, 0.16, height + 0.08)), 0.85, 0.05)
