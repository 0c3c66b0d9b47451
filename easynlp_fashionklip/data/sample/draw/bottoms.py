"""Skirts, dresses, trousers, jeans and shorts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from easynlp_fashionklip.data.sample.attributes import Attributes
from easynlp_fashionklip.data.sample.draw import collars, details
from easynlp_fashionklip.data.sample.draw.canvas import Canvas
from easynlp_fashionklip.data.sample.draw.fabric import luminance
from easynlp_fashionklip.data.sample.draw.geometry import Points, mirrored, outline, shifted, symmetric
from easynlp_fashionklip.data.sample.draw.tops import Cut, front_neckline, jittered, lay_back, lay_sleeves

SKIRT_HEMS = {"mini": -0.02, "midi": 0.45, "maxi": 0.92}
DRESS_HEMS = {"mini": 0.44, "midi": 0.68, "maxi": 0.92}


def draw_skirt(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A skirt with a waistband; how wide it swings is chance."""
    top, low = -0.78, SKIRT_HEMS[attributes.length] + float(rng.uniform(-0.04, 0.04))
    waist, swing = 0.30, float(rng.uniform(0.42, 0.72)) * (0.85 if attributes.length == "mini" else 1.0)
    _lay_skirt(canvas, top, low, waist, swing, folds=int(rng.integers(3, 7)))
    if attributes.detail == "patch pocket":
        for sign in (1, -1):
            details.patch_pocket(canvas, sign * 0.23, top + 0.36, 0.11)
    if attributes.detail == "button closure":
        details.placket(canvas, top, low, 0.05, buttons=5 if attributes.length == "mini" else 7)
    canvas.cloth(
        symmetric((0, top - 0.02), (waist, top - 0.04), (waist + 0.02, top + 0.07), (0, top + 0.09)), shade=0.9
    )


def _lay_skirt(canvas: Canvas, top: float, low: float, waist: float, swing: float, folds: int) -> None:
    hip = waist + (swing - waist) * 0.55
    shape = symmetric((0, top), (waist, top), (hip, top + 0.22, swing, low), (swing * 0.5, low + 0.07, 0, low + 0.07))
    canvas.cloth(shape)
    for share in np.linspace(-0.8, 0.8, folds):
        path = outline(
            (share * waist * 0.9, top + 0.12), (share * hip * 0.9, (top + low) / 2, share * swing, low + 0.04)
        )
        canvas.fold(path, 0.85, 0.04)
        canvas.fold(shifted(path, 0.06, 0), 1.06, 0.04)
    canvas.seam(symmetric((swing * 0.98, low - 0.04), (swing * 0.5, low + 0.03, 0, low + 0.03)))


DRESS = Cut(
    neck=0.16,
    neck_y=-0.92,
    shoulder=0.37,
    shoulder_y=-0.83,
    chest=0.31,
    armpit_y=-0.55,
    waist=0.26,
    waist_y=-0.22,
    flare=0.26,
    hem_y=-0.16,
    dip=0.13,
    cuff=(0.58, 0.12),
    cuff_width=0.13,
)


def draw_dress(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A dress: a fitted bodice and a skirt that swings out."""
    sleeveless = attributes.sleeve == "sleeveless"
    cut = replace(DRESS, shoulder=0.27, shoulder_y=-0.88, neck=0.17) if sleeveless else DRESS
    cut = jittered(cut, rng, replace(attributes, gender="", length=""))
    low = DRESS_HEMS[attributes.length] + float(rng.uniform(-0.04, 0.03))
    swing = float(rng.uniform(0.46, 0.72)) * (0.84 if attributes.length == "mini" else 1.0)
    lay_back(canvas, cut)
    _lay_sleeves(canvas, cut, attributes.sleeve)
    _lay_skirt(canvas, cut.hem_y - 0.05, low, cut.flare, swing, folds=int(rng.integers(3, 6)))
    canvas.cloth(_bodice(cut, attributes.neckline))
    canvas.seam(outline((-cut.flare, cut.hem_y), (0, cut.hem_y + 0.05, cut.flare, cut.hem_y)), 0.022)
    if attributes.detail == "button closure":
        depth = front_neckline(cut, attributes.neckline)[0, 1]
        details.placket(canvas, float(depth), low, 0.035, buttons=8, radius=0.02)
    if attributes.detail == "patch pocket":
        for sign in (1, -1):
            details.patch_pocket(canvas, sign * 0.23, cut.hem_y + 0.24, 0.10)
    collars.rib(canvas, front_neckline(cut, attributes.neckline), 0.025)


def _lay_sleeves(canvas: Canvas, cut: Cut, sleeve: str) -> None:
    if sleeve == "short sleeve":
        cut = replace(cut, cuff=(0.56, -0.47), cuff_width=0.21)
        sleeve = "long sleeve"
    lay_sleeves(canvas, cut, sleeve)


def _bodice(cut: Cut, neckline: str) -> Points:
    sides = outline(
        (cut.shoulder, cut.shoulder_y),
        (cut.shoulder - 0.06, (cut.shoulder_y + cut.armpit_y) / 2, cut.chest, cut.armpit_y),
        (cut.waist, cut.waist_y, cut.flare, cut.hem_y),
        (0, cut.hem_y + 0.025),
    )
    return symmetric(*np.concatenate([front_neckline(cut, neckline), sides]))


def draw_trousers(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """Trousers or jeans: two legs, a waistband, a fly."""
    jeans = attributes.category == "jeans"
    low = (0.52 if attributes.length == "cropped" else 0.95) + float(rng.uniform(-0.03, 0.03))
    hem = float(rng.uniform(0.09, 0.14)) if jeans else float(rng.uniform(0.10, 0.19))
    _lay_legs(canvas, attributes, low, hem, waist=0.29)
    stitch = (206, 150, 80) if jeans and luminance(canvas.fabric.colour) < 200 else canvas.fabric.seam
    if jeans:
        _jeans_stitching(canvas, stitch)
    else:
        for sign in (1, -1):
            canvas.fold(outline((sign * 0.16, -0.55), (sign * 0.27, low - 0.03)), 1.10, 0.02)
            canvas.fold(outline((sign * 0.19, -0.55), (sign * 0.30, low - 0.03)), 0.88, 0.025)


def draw_shorts(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """Shorts: two wide short legs."""
    low = float(rng.uniform(-0.02, 0.14)) - (0.08 if attributes.gender == "women" else 0.0)
    _lay_legs(canvas, attributes, low, hem=0.22, waist=0.33)
    if attributes.detail == "drawstring waistband":
        cord = collars.cord_colour(canvas)
        for sign in (1, -1):
            canvas.line(outline((0, -0.80), (sign * 0.08, -0.72, sign * 0.06, -0.58)), cord, 0.025)


def _lay_legs(canvas: Canvas, attributes: Attributes, low: float, hem: float, waist: float) -> None:
    """Waistband, legs (`hem` is half the width of a leg's end at height `low`), fly and slant pockets."""
    hip, top, crotch = waist + (0.11 if attributes.gender == "women" else 0.085), -0.88, -0.28
    spread = 0.30 if low > 0.3 else 0.33
    leg = outline(
        (0, top + 0.08),
        (waist, top + 0.06),
        (hip, -0.62, hip + 0.01, -0.42),
        (max(hip, spread + hem) * 0.98, (low + crotch) / 2, spread + hem, low),
        (spread - hem, low + 0.02),
        (max(0.03, (spread - hem) * 0.45), (low + crotch) / 2, 0, crotch),
    )
    for sign, part in ((-1, mirrored(leg)), (1, leg)):
        canvas.cloth(part, shade=0.95 if sign < 0 else 1.0)
        canvas.seam(outline((sign * (spread + hem), low - 0.06), (sign * (spread - hem), low - 0.04)))
        for lift in (0.0, 0.09):
            canvas.fold(
                outline((sign * 0.02, crotch + 0.02 + lift), (sign * 0.20, crotch - 0.05 + lift * 1.4)), 0.82, 0.03
            )
        if attributes.detail == "slant pocket" and attributes.category != "jeans":
            canvas.seam(outline((sign * waist * 0.66, top + 0.10), (sign * (hip - 0.02), -0.55)), 0.028)
    canvas.cloth(
        symmetric((0, top), (waist - 0.005, top - 0.02), (waist + 0.005, top + 0.08), (0, top + 0.10)), shade=0.9
    )
    canvas.seam(outline((0, top + 0.1), (0, crotch)))
    canvas.seam(outline((0.07, top + 0.1), (0.075, crotch - 0.14), (0.06, crotch - 0.07, 0.0, crotch - 0.04)))
    details.button(canvas, 0.0, top + 0.05, 0.026)


def _jeans_stitching(canvas: Canvas, stitch: tuple[int, int, int]) -> None:
    for sign in (1, -1):
        canvas.line(outline((sign * 0.17, -0.79), (sign * 0.19, -0.62, sign * 0.37, -0.62)), stitch, 0.016)
        canvas.line(outline((sign * 0.2, -0.88), (sign * 0.2, -0.79)), stitch, 0.03)
        canvas.dot(sign * 0.345, -0.64, 0.016, details.GOLD)
    canvas.line(outline((0.07, -0.78), (0.075, -0.43), (0.06, -0.36, 0.0, -0.33)), stitch, 0.014)
    canvas.dot(0.0, -0.83, 0.03, details.GOLD)
