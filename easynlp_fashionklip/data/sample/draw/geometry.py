"""Outlines in garment coordinates, and where the garment lies on the picture.

Garment coordinates: x to the right and y down, the origin in the picture's centre; the picture spans -1.1 to 1.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Step = Sequence[float]

CURVE_POINTS = 10
HALF_SPAN = 1.1


def outline(*steps: Step) -> Points:
    """The points (n x 2) of a path: a step `(x, y)` goes straight, `(cx, cy, x, y)` bends towards the control point."""
    points = [np.asarray(steps[0][-2:], dtype=np.float64)[None]]
    for step in steps[1:]:
        end = np.asarray(step[-2:], dtype=np.float64)
        points.append(end[None] if len(step) == 2 else _bezier(points[-1][-1], np.asarray(step[:2]), end))
    return np.concatenate(points)


def _bezier(start: Points, control: Points, end: Points) -> Points:
    t = np.linspace(0, 1, CURVE_POINTS + 1)[1:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end


def symmetric(*steps: Step) -> Points:
    """A closed outline from its right half, top to bottom."""
    right = outline(*steps)
    return np.concatenate([right, mirrored(right)[::-1]])


def mirrored(points: Points) -> Points:
    """The left twin of what lies on the right."""
    return points * (-1, 1)


def shifted(points: Points, x: float, y: float) -> Points:
    """The same outline further to the right by `x` and down by `y`."""
    return points + np.array([x, y])


def ellipse(x: float, y: float, half_width: float, half_height: float) -> Points:
    """A closed ellipse around (x, y)."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + half_width * np.cos(angle), y + half_height * np.sin(angle)], axis=1)


def band(points: Points, width: float) -> Points:
    """A closed strip of `width` along an open path."""
    along = np.gradient(points, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal *= width / 2 / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    return np.concatenate([points + normal, (points - normal)[::-1]])


@dataclass(frozen=True)
class Placement:
    """Turns, scales and shifts garment coordinates onto a square of `side` pixels. `angle` is in radians."""

    side: int
    angle: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    flip: bool = False

    def pixels(self, points: Points) -> list[tuple[float, float]]:
        """Garment coordinates (n x 2) as pixel coordinates, ready for Pillow."""
        across = points * ((-1, 1) if self.flip else (1, 1))
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turned = across @ np.array([[cos, sin], [-sin, cos]]) * self.scale + self.shift
        placed = (turned + HALF_SPAN) * (self.side / (2 * HALF_SPAN))
        return [(float(x), float(y)) for x, y in placed]

    def length(self, length: float) -> float:
        """A length in garment coordinates as pixels."""
        return length * self.scale * self.side / (2 * HALF_SPAN)
