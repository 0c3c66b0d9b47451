"""The cloth: a colour and a pattern that turns with the part it is laid on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw
from PIL.Image import Image as Picture

from easynlp_fashionklip.data.sample.attributes import PALETTE, PLAIN, Attributes, Colour
from easynlp_fashionklip.data.sample.draw.geometry import Placement, Points, outline

COLOUR_JITTER = 4.0
"""Standard deviation per channel of a dye around its named colour."""
REACH = 1.6
"""How far a pattern is drawn from the origin, in garment coordinates, so that it also covers turned parts."""


def dye(rng: np.random.Generator, name: str) -> Colour:
    """A shade of the named colour."""
    red, green, blue = np.clip(np.rint(rng.normal(PALETTE[name], COLOUR_JITTER)), 0, 255)
    return int(red), int(green), int(blue)


def tone(colour: Colour, factor: float) -> Colour:
    """`colour` darker (factor below 1) or lighter; a dark colour changes the other way, else nothing would show."""
    if factor < 1 and luminance(colour) < 70:
        red, green, blue = (min(255, round(channel + 110 * (1 - factor))) for channel in colour)
    else:
        red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue


def luminance(colour: Colour) -> float:
    """Brightness from 0 to 255 (Rec. 601)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


@dataclass(frozen=True)
class Fabric:
    """A dyed cloth. `period` is the pattern's repeat in garment units, `share` how much of it the accent takes,
    `turn` the pattern's own angle in radians, `split` where a colour block changes, `seed` places the flowers.
    """

    colour: Colour
    accent: Colour
    pattern: str
    period: float
    share: float
    turn: float
    split: float
    seed: int

    @classmethod
    def of(cls, attributes: Attributes, rng: np.random.Generator) -> Fabric:
        """The cloth of one product."""
        low, high = PERIODS.get(attributes.pattern, (0.2, 0.2))
        upright = attributes.pattern == "striped" and attributes.category in UPRIGHT_STRIPES
        return cls(
            colour=dye(rng, attributes.colour),
            accent=dye(rng, attributes.accent),
            pattern=attributes.pattern,
            period=float(rng.uniform(low, high)),
            share=float(rng.uniform(0.32, 0.45)),
            turn=np.pi / 2 if upright else 0.0,
            split=float(rng.uniform(0.02, 0.16)),
            seed=int(rng.integers(2**31)),
        )

    @property
    def plain(self) -> bool:
        """Whether the cloth is of one colour."""
        return self.pattern == PLAIN

    @property
    def seam(self) -> Colour:
        """The colour of seams and outlines."""
        return tone(self.colour, 0.66)

    def layer(self, placement: Placement, angle: float) -> Picture:
        """The whole picture covered with the cloth turned by `angle`; `side` x `side` RGB."""
        picture = Image.new("RGB", (placement.side, placement.side), self.colour)
        MOTIFS[self.pattern](picture, self, _Turned(placement, self.turn + angle))
        return picture


@dataclass(frozen=True)
class _Turned:
    """A placement whose pattern is turned about the origin first."""

    placement: Placement
    angle: float

    def pixels(self, points: Points) -> list[tuple[float, float]]:
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return self.placement.pixels(points @ np.array([[cos, sin], [-sin, cos]]))


def _stripes(draw: ImageDraw.ImageDraw, fill: Colour | int, fabric: Fabric, turned: _Turned, share: float) -> None:
    for low in np.arange(-REACH, REACH, fabric.period):
        high = low + fabric.period * share
        draw.polygon(turned.pixels(outline((-REACH, low), (REACH, low), (REACH, high), (-REACH, high))), fill=fill)


def _striped(picture: Picture, fabric: Fabric, turned: _Turned) -> None:
    _stripes(ImageDraw.Draw(picture), fabric.accent, fabric, turned, fabric.share)


def _checked(picture: Picture, fabric: Fabric, turned: _Turned) -> None:
    """Gingham: bands at 55 % each way, so that their crossings are darkest."""
    cover = Image.new("L", picture.size)
    for angle in (0.0, np.pi / 2):
        bands = Image.new("L", picture.size)
        _stripes(ImageDraw.Draw(bands), 128, fabric, _Turned(turned.placement, turned.angle + angle), fabric.share)
        cover = ImageChops.add(cover, bands)
    picture.paste(fabric.accent, (0, 0), cover)


def _dots(picture: Picture, fabric: Fabric, turned: _Turned) -> None:
    draw, radius = ImageDraw.Draw(picture), fabric.period * 0.27
    pixels = turned.placement.length(radius)
    for x, y in turned.pixels(_lattice(fabric.period)):
        draw.ellipse((x - pixels, y - pixels, x + pixels, y + pixels), fill=fabric.accent)


def _lattice(period: float) -> Points:
    rows = np.arange(-REACH, REACH, period * 0.86)
    columns = np.arange(-REACH, REACH, period)
    offset = np.where(np.arange(len(rows)) % 2, period / 2, 0.0)
    x = columns[None] + offset[:, None]
    return np.stack([x, np.broadcast_to(rows[:, None], x.shape)], axis=-1).reshape(-1, 2)


PETALS = 5


def _flowers(picture: Picture, fabric: Fabric, turned: _Turned) -> None:
    """Five-petalled flowers with an eye and a leaf, scattered around a lattice."""
    rng = np.random.default_rng(fabric.seed)
    draw = ImageDraw.Draw(picture)
    eye = PALETTE["yellow"] if luminance(fabric.accent) < 170 or fabric.accent[2] > 160 else PALETTE["orange"]
    leaf = PALETTE["green"] if luminance(fabric.colour) > 110 else (120, 186, 120)
    spots = _lattice(fabric.period)
    spots = spots + rng.uniform(-0.16, 0.16, spots.shape) * fabric.period
    sizes = rng.uniform(0.8, 1.15, len(spots)) * fabric.period * 0.17
    starts = rng.uniform(0, 2 * np.pi, len(spots))
    centres = turned.pixels(spots)
    for (x, y), size, start in zip(centres, sizes, starts, strict=True):
        if not (-20 <= x <= picture.width + 20 and -20 <= y <= picture.height + 20):
            continue
        radius = turned.placement.length(float(size))
        _disc(draw, x + 2.0 * radius * np.cos(start + 0.6), y + 2.0 * radius * np.sin(start + 0.6), radius * 0.7, leaf)
        for angle in start + np.arange(PETALS) * (2 * np.pi / PETALS):
            _disc(draw, x + radius * np.cos(angle), y + radius * np.sin(angle), radius * 0.72, fabric.accent)
        _disc(draw, x, y, radius * 0.55, eye)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _block(picture: Picture, fabric: Fabric, turned: _Turned) -> None:
    """The lower part in the accent colour, along the garment and not along its turned parts."""
    below = outline((-REACH, fabric.split), (REACH, fabric.split), (REACH, REACH), (-REACH, REACH))
    ImageDraw.Draw(picture).polygon(turned.placement.pixels(below), fill=fabric.accent)


MOTIFS = {"striped": _striped, "checked": _checked, "polka dot": _dots, "floral": _flowers, "colour block": _block}
PERIODS = {"striped": (0.15, 0.26), "checked": (0.15, 0.25), "polka dot": (0.14, 0.2), "floral": (0.24, 0.32)}
UPRIGHT_STRIPES = ("shirt", "blazer", "trousers", "shorts", "skirt")
