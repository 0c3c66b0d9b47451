"""The canvas that parts are laid on, and the light that falls on the finished product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from PIL.Image import Image as Picture

from easynlp_fashionklip.data.sample.attributes import Colour
from easynlp_fashionklip.data.sample.draw.fabric import Fabric, tone
from easynlp_fashionklip.data.sample.draw.geometry import Placement, Points

OVERSAMPLE = 3
NEUTRAL = 160
"""Value of the shade map that leaves the colour as it is; less is darker."""
LINE = 0.014
"""Width of a seam in garment units."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Rendering:
    """A finished picture; `cloth` (H x W, 0 to 1) is how much of each pixel shows the main fabric."""

    image: Picture
    cloth: Floats


class Canvas:
    """Takes parts from back to front at three times the final size; `finish` lights, shades and shrinks the result."""

    def __init__(self, image_size: int, placement: Placement, fabric: Fabric) -> None:
        self.image_size = image_size
        self.placement = placement
        self.fabric = fabric
        side = placement.side
        self._picture = Image.new("RGB", (side, side), (255, 255, 255))
        self._cloth = Image.new("L", (side, side))
        self._silhouette = Image.new("L", (side, side))
        self._shade = Image.new("L", (image_size, image_size), NEUTRAL)
        self._layers: dict[float, Picture] = {}

    def cloth(self, points: Points, angle: float = 0.0, shade: float = 1.0, edge: bool = True) -> None:
        """Lay a closed part of the main fabric, its pattern turned by `angle`, `shade` below 1 being darker."""
        pixels = self.placement.pixels(points)
        if self.fabric.plain:
            ImageDraw.Draw(self._picture).polygon(pixels, fill=self.fabric.colour)
        else:
            self._paste(pixels, self._layer(angle))
        self._cover(pixels, shade, cloth=255)
        if edge:
            self.line(points, self.fabric.seam, closed=True)

    def _paste(self, pixels: list[tuple[float, float]], layer: Picture) -> None:
        """Copy the inside of a polygon from `layer`; only its bounding box, for speed."""
        across, down = zip(*pixels, strict=True)
        left, top = max(0, int(min(across))), max(0, int(min(down)))
        box = (left, top, max(left + 1, int(max(across)) + 2), max(top + 1, int(max(down)) + 2))
        mask = Image.new("L", (box[2] - left, box[3] - top))
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in pixels], fill=255)
        self._picture.paste(layer.crop(box), (left, top), mask)

    def _layer(self, angle: float) -> Picture:
        if angle not in self._layers:
            self._layers[angle] = self.fabric.layer(self.placement, angle)
        return self._layers[angle]

    def trim(self, points: Points, colour: Colour, shade: float = 1.0, edge: bool = True) -> None:
        """Lay a closed part of another material: a sole, a lining, a band."""
        pixels = self.placement.pixels(points)
        ImageDraw.Draw(self._picture).polygon(pixels, fill=colour)
        self._cover(pixels, shade, cloth=0)
        if edge:
            self.line(points, tone(colour, 0.72), closed=True)

    def _cover(self, pixels: list[tuple[float, float]], shade: float, cloth: int) -> None:
        ImageDraw.Draw(self._cloth).polygon(pixels, fill=cloth)
        ImageDraw.Draw(self._silhouette).polygon(pixels, fill=255)
        small = [(x / OVERSAMPLE, y / OVERSAMPLE) for x, y in pixels]
        ImageDraw.Draw(self._shade).polygon(small, fill=round(NEUTRAL * shade))

    def line(self, points: Points, colour: Colour, width: float = LINE, closed: bool = False) -> None:
        """Draw along a path; `width` in garment units."""
        pixels = self.placement.pixels(points)
        if closed:
            pixels = [*pixels, *pixels[:2]]
        across = max(1, round(self.placement.length(width)))
        ImageDraw.Draw(self._picture).line(pixels, fill=colour, width=across, joint="curve")

    def seam(self, points: Points, width: float = LINE) -> None:
        """Draw a seam of the main fabric."""
        self.line(points, self.fabric.seam, width)

    def fold(self, points: Points, strength: float = 0.86, width: float = 0.035) -> None:
        """A soft shadow (or light, `strength` above 1) along a path."""
        pixels = [(x / OVERSAMPLE, y / OVERSAMPLE) for x, y in self.placement.pixels(points)]
        across = max(1, round(self.placement.length(width) / OVERSAMPLE))
        ImageDraw.Draw(self._shade).line(pixels, fill=round(NEUTRAL * strength), width=across, joint="curve")

    def dot(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A button, eyelet or rivet with a thin rim."""
        ((px, py),) = self.placement.pixels(np.array([[x, y]]))
        outer, inner = self.placement.length(radius), self.placement.length(radius * 0.72)
        draw = ImageDraw.Draw(self._picture)
        draw.ellipse((px - outer, py - outer, px + outer, py + outer), fill=tone(colour, 0.6))
        draw.ellipse((px - inner, py - inner, px + inner, py + inner), fill=colour)

    def finish(self, rng: np.random.Generator, material: str) -> Rendering:
        """The picture at its final size: folds, roundness, light, texture of the material, a soft shadow on white."""
        colours = _array(self._picture.reduce(OVERSAMPLE))
        cover = _array(self._silhouette.reduce(OVERSAMPLE))[..., None] / 255
        light = self._light(rng, material)
        inside = cover[..., 0] > 0.5
        light *= rng.uniform(0.97, 1.03) / light[inside].mean()
        lit = colours * light[..., None] + (light[..., None] - 1) * 26
        blended = lit * cover + self._backdrop(rng)[..., None] * (1 - cover)
        image = Image.fromarray(np.clip(np.rint(blended), 0, 255).astype(np.uint8))
        return Rendering(image, _array(self._cloth.reduce(OVERSAMPLE)) / 255)

    def _light(self, rng: np.random.Generator, material: str) -> Floats:
        """How bright each pixel is, about 1: folds x roundness x direction of the lamp x unevenness x weave."""
        unit = self.image_size / 160
        folds = _blurred(self._shade, 1.6 * unit) / NEUTRAL
        depth = _blurred(self._silhouette.reduce(OVERSAMPLE), 6 * unit) / 255
        roundness = 0.76 + 0.26 * np.clip(depth * 1.25 - 0.25, 0, 1) ** 0.7
        y, x = np.mgrid[-1 : 1 : self.image_size * 1j, -1 : 1 : self.image_size * 1j].astype(np.float32)
        direction = rng.uniform(-np.pi * 0.8, -np.pi * 0.2)
        lamp = 1 + rng.uniform(0.03, 0.10) * (x * np.cos(direction) + y * np.sin(direction))
        coarse = Image.fromarray(rng.normal(1, 0.035, (7, 7)).astype(np.float32))
        uneven = np.asarray(coarse.resize((self.image_size, self.image_size), Image.Resampling.BICUBIC))
        return (folds * roundness * lamp * uneven * _weave(material, x, y, rng)).astype(np.float32)

    def _backdrop(self, rng: np.random.Generator) -> Floats:
        """White with the product's soft shadow."""
        unit = self.image_size / 160
        shadow = _blurred(self._silhouette.reduce(OVERSAMPLE), 3.5 * unit) / 255
        drop = max(1, round(2 * unit))
        left = int(rng.integers(3)) * drop
        padded = np.pad(shadow, ((drop, 0), (drop, drop)))[: self.image_size, left : left + self.image_size]
        return (255 - rng.uniform(38, 58) * padded).astype(np.float32)


def _array(picture: Picture) -> Floats:
    return np.asarray(picture, dtype=np.float32)


def _blurred(picture: Picture, radius: float) -> Floats:
    return _array(picture.filter(ImageFilter.GaussianBlur(radius)))


def _weave(material: str, x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    """The surface of a material as brightness: ribs of a knit, the twill of denim, the gloss of leather."""
    if material in ("knit", "wool", "cashmere"):
        return 1 + 0.035 * np.sin(x * 88) + rng.normal(0, 0.02, x.shape).astype(np.float32)
    if material == "denim":
        return 1 + 0.03 * np.sin((x + y) * 70) + rng.normal(0, 0.03, x.shape).astype(np.float32)
    if material in ("canvas", "linen", "straw"):
        return 1 + rng.normal(0, 0.035, x.shape).astype(np.float32)
    if material in ("leather", "satin", "silk", "nylon"):
        centre = rng.uniform(-0.35, 0.35)
        return 0.96 + 0.20 * np.exp(-(((x + 0.3 * y - centre) / 0.16) ** 2))
    return 1 + rng.normal(0, 0.012, x.shape).astype(np.float32)
