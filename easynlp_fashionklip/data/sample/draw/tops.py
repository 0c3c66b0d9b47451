"""What is worn above the waist: the cut of body and sleeves, and each garment made from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from easynlp_fashionklip.data.sample.attributes import Attributes
from easynlp_fashionklip.data.sample.draw import collars, details
from easynlp_fashionklip.data.sample.draw.canvas import Canvas
from easynlp_fashionklip.data.sample.draw.geometry import Points, mirrored, outline, symmetric


@dataclass(frozen=True)
class Cut:
    """Half widths and heights of a body, in garment coordinates, and how its sleeves hang.

    `dip` is how far the front neckline falls below the neck; `flare` the half width at the hem.
    """

    neck: float = 0.17
    neck_y: float = -0.72
    shoulder: float = 0.47
    shoulder_y: float = -0.61
    chest: float = 0.42
    armpit_y: float = -0.24
    waist: float = 0.40
    waist_y: float = 0.2
    flare: float = 0.42
    hem_y: float = 0.74
    dip: float = 0.15
    cuff: tuple[float, float] = (0.80, 0.52)
    cuff_width: float = 0.17


def jittered(cut: Cut, rng: np.random.Generator, attributes: Attributes) -> Cut:
    """The cut of one product: slimmer at the waist for women, shorter if cropped, and a little chance."""
    women = attributes.gender == "women"
    wide = float(rng.uniform(0.95, 1.06))
    hem_y = cut.hem_y + float(rng.uniform(-0.04, 0.04))
    if attributes.length == "cropped":
        hem_y = cut.armpit_y + 0.47
    return replace(
        cut,
        shoulder=cut.shoulder * wide * (0.93 if women else 1.02),
        chest=cut.chest * wide * (0.95 if women else 1.03),
        waist=cut.waist * wide * (0.86 if women else 1.03),
        flare=cut.flare * wide * (0.97 if women else 1.0),
        hem_y=hem_y,
        waist_y=min(cut.waist_y, hem_y - 0.12),
        dip=cut.dip * float(rng.uniform(0.9, 1.15)) * (1.15 if women else 1.0),
    )


def front_neckline(cut: Cut, neckline: str) -> Points:
    """The right half of the front neckline, from its lowest point to the neck."""
    if neckline in ("v-neck", "notched lapel"):
        return outline((0, cut.neck_y + cut.dip * 2.3), (cut.neck, cut.neck_y))
    depth = cut.dip * (2.0 if neckline == "scoop neck" else 1.0)
    return outline((0, cut.neck_y + depth), (cut.neck * 0.95, cut.neck_y + depth, cut.neck, cut.neck_y))


def body(cut: Cut, neckline: str) -> Points:
    """The closed front: neckline, shoulders, armholes, sides, hem."""
    half = np.concatenate(
        [
            front_neckline(cut, neckline),
            outline(
                (cut.shoulder, cut.shoulder_y),
                (cut.shoulder - 0.07, (cut.shoulder_y + cut.armpit_y) / 2, cut.chest, cut.armpit_y),
                (cut.waist, cut.waist_y - 0.1, cut.waist, cut.waist_y),
                (cut.waist, cut.waist_y + 0.1, cut.flare, cut.hem_y),
                (cut.flare * 0.5, cut.hem_y + 0.035, 0, cut.hem_y + 0.035),
            ),
        ]
    )
    return symmetric(*half)


def lay_back(canvas: Canvas, cut: Cut) -> None:
    """The inside of the back that shows through the neck opening."""
    low = cut.neck_y + cut.dip * 2.4
    inside = symmetric(
        (0, cut.neck_y + 0.02), (cut.neck * 0.7, cut.neck_y + 0.02, cut.neck, cut.neck_y), (cut.neck, low, 0, low)
    )
    canvas.cloth(inside, shade=0.66)


def lay_sleeves(canvas: Canvas, cut: Cut, sleeve: str, *, cuffed: bool = False) -> None:
    """Both sleeves, behind the body; nothing for a sleeveless one."""
    if sleeve not in ("short sleeve", "long sleeve"):
        return
    end = np.array(cut.cuff if sleeve == "long sleeve" else (0.70, -0.14))
    width = cut.cuff_width if sleeve == "long sleeve" else 0.27
    start = np.array([(cut.shoulder + cut.chest) / 2, (cut.shoulder_y + cut.armpit_y) / 2])
    along = (end - start) / np.linalg.norm(end - start)
    across = np.array([-along[1], along[0]]) * width / 2
    outer, inner = end - across, end + across
    bend = np.array([cut.shoulder + 0.13, cut.shoulder_y + 0.06])
    right = outline(
        (cut.shoulder - 0.10, cut.shoulder_y - 0.02),
        (cut.shoulder, cut.shoulder_y),
        (*bend, *outer),
        tuple(inner),
        (cut.chest + 0.05, cut.armpit_y + 0.10, cut.chest - 0.03, cut.armpit_y + 0.03),
    )
    lean = float(np.arctan2(along[0], along[1]))
    elbow = start + (end - start) * 0.5
    for side, part in ((1, right), (-1, mirrored(right))):
        canvas.cloth(part, angle=-lean * side, shade=0.93)
        if sleeve == "long sleeve":
            crease = outline(tuple(elbow - across * 0.2), tuple(elbow + across * 0.9 - along * 0.08))
            canvas.fold(crease * (side, 1))
        _cuff(canvas, np.stack([outer, inner]) * (side, 1), along * (side, 1), cuffed)


def _cuff(canvas: Canvas, edge: Points, along: Points, cuffed: bool) -> None:
    inset = edge - along * (0.085 if cuffed else 0.04)
    canvas.seam(inset)
    if cuffed:
        canvas.cloth(np.concatenate([edge, inset[::-1]]), shade=0.86)


def lay_body(canvas: Canvas, cut: Cut, neckline: str) -> None:
    """The front with its armhole seams, side folds and hem."""
    canvas.cloth(body(cut, neckline))
    for sign in (1, -1):
        canvas.fold(
            outline((cut.chest * 0.86, cut.armpit_y + 0.06), (cut.waist * 0.6, cut.waist_y)) * (sign, 1), 0.90, 0.05
        )
        canvas.fold(
            outline((cut.flare * 0.55, cut.hem_y), (cut.waist * 0.45, cut.waist_y + 0.08)) * (sign, 1), 0.93, 0.05
        )


def _hem(canvas: Canvas, cut: Cut, rise: float, *, rib: bool = False) -> None:
    top, low = cut.hem_y - rise, cut.hem_y
    path = symmetric((0, top + 0.035), (cut.flare * 0.5, top + 0.035, cut.flare, top))
    canvas.seam(path[np.argsort(path[:, 0], kind="stable")])
    if rib:
        strip = symmetric(
            (0, top + 0.035),
            (cut.flare * 0.5, top + 0.035, cut.flare, top),
            (cut.flare * 0.96, low),
            (cut.flare * 0.5, low + 0.035, 0, low + 0.035),
        )
        canvas.cloth(strip, shade=0.86)
        for x in np.linspace(-0.9, 0.9, 17) * cut.flare:
            canvas.fold(outline((x, top + 0.03), (x, low + 0.02)), 0.76, 0.012)


SOFT = Cut()
TANK = Cut(neck=0.19, shoulder=0.28, shoulder_y=-0.70, chest=0.38, armpit_y=-0.22, waist=0.36, flare=0.39, dip=0.2)
KNIT = Cut(shoulder=0.49, chest=0.44, waist=0.42, flare=0.41, hem_y=0.66, cuff=(0.82, 0.5), cuff_width=0.16)
HOODED = replace(
    KNIT, neck_y=-0.52, shoulder_y=-0.42, armpit_y=-0.06, hem_y=0.78, waist_y=0.35, cuff=(0.84, 0.62), dip=0.12
)
TAILORED = Cut(shoulder=0.47, chest=0.42, waist=0.38, flare=0.44, hem_y=0.76, dip=0.24, cuff=(0.70, 0.60))
LONG = Cut(
    neck=0.14,
    neck_y=-0.9,
    shoulder=0.39,
    shoulder_y=-0.81,
    chest=0.36,
    armpit_y=-0.5,
    waist=0.34,
    waist_y=-0.1,
    flare=0.44,
    hem_y=0.9,
    dip=0.2,
    cuff=(0.58, 0.22),
    cuff_width=0.15,
)


def draw_soft_top(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A t-shirt or a tank top."""
    tank = attributes.category == "tank top"
    cut = jittered(TANK if tank else SOFT, rng, attributes)
    lay_back(canvas, cut)
    lay_sleeves(canvas, cut, attributes.sleeve)
    lay_body(canvas, cut, attributes.neckline)
    collars.rib(canvas, front_neckline(cut, attributes.neckline), 0.03 if tank else 0.045)
    _hem(canvas, cut, 0.05)
    if attributes.detail == "patch pocket":
        details.patch_pocket(canvas, cut.chest * 0.45, cut.armpit_y + 0.02, 0.12)


def draw_shirt(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A shirt with collar, placket and buttons."""
    cut = jittered(replace(SOFT, cuff=(0.78, 0.56), hem_y=0.78), rng, attributes)
    lay_back(canvas, cut)
    lay_sleeves(canvas, cut, attributes.sleeve, cuffed=attributes.sleeve == "long sleeve")
    lay_body(canvas, cut, attributes.neckline)
    details.placket(canvas, cut.neck_y + cut.dip, cut.hem_y, 0.045, buttons=6)
    collars.shirt_collar(canvas, cut.neck, cut.neck_y, cut.dip)
    if attributes.detail == "patch pocket":
        details.patch_pocket(canvas, cut.chest * 0.52, cut.armpit_y, 0.13)


def draw_knitwear(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A sweater, with ribs at neck, cuffs and hem."""
    cut = jittered(KNIT, rng, attributes)
    lay_back(canvas, cut)
    lay_sleeves(canvas, cut, attributes.sleeve, cuffed=True)
    lay_body(canvas, cut, "crew neck" if attributes.neckline == "turtleneck" else attributes.neckline)
    _hem(canvas, cut, 0.1, rib=True)
    if attributes.neckline == "turtleneck":
        collars.turtleneck(canvas, cut.neck, cut.neck_y)
    else:
        collars.rib(canvas, front_neckline(cut, attributes.neckline), 0.065)


def draw_cardigan(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A cardigan: a deep v, a buttoned band down the front, ribs at cuffs and hem."""
    cut = replace(jittered(KNIT, rng, attributes), dip=0.22)
    lay_back(canvas, cut)
    lay_sleeves(canvas, cut, attributes.sleeve, cuffed=True)
    lay_body(canvas, cut, "v-neck")
    _hem(canvas, cut, 0.1, rib=True)
    details.placket(canvas, cut.neck_y + cut.dip * 2.3, cut.hem_y + 0.03, 0.075, buttons=5, radius=0.034)
    collars.rib(canvas, front_neckline(cut, "v-neck"), 0.075)
    if attributes.detail == "patch pocket":
        for sign in (1, -1):
            details.patch_pocket(canvas, sign * cut.waist * 0.58, cut.hem_y - 0.40, 0.14)


def draw_hoodie(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A hoodie: hood, drawstrings, kangaroo pocket or zip."""
    cut = jittered(HOODED, rng, attributes)
    lay_sleeves(canvas, cut, attributes.sleeve, cuffed=True)
    lay_body(canvas, cut, "crew neck")
    _hem(canvas, cut, 0.1, rib=True)
    if attributes.detail == "zip closure":
        details.zip_line(canvas, cut.neck_y + cut.dip, cut.hem_y + 0.03)
    else:
        details.kangaroo_pocket(canvas, cut.hem_y - 0.12, 0.30)
    collars.hood(canvas, cut.neck_y)


def draw_jacket(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A bomber jacket: stand collar, zip, ribbed cuffs and hem."""
    cut = jittered(replace(KNIT, shoulder=0.50, chest=0.46, waist=0.47, flare=0.42), rng, attributes)
    lay_back(canvas, cut)
    lay_sleeves(canvas, cut, attributes.sleeve, cuffed=True)
    lay_body(canvas, cut, "crew neck")
    _hem(canvas, cut, 0.1, rib=True)
    details.zip_line(canvas, cut.neck_y + cut.dip - 0.06, cut.hem_y + 0.03)
    collars.stand_collar(canvas, cut.neck, cut.neck_y, cut.dip)
    for sign in (1, -1):
        if attributes.detail == "flap pocket":
            details.flap_pocket(canvas, sign * cut.waist * 0.55, cut.hem_y - 0.34, 0.13)
        else:
            details.slit(canvas, sign * cut.waist * 0.62, cut.hem_y - 0.36, sign)


def draw_tailored(canvas: Canvas, attributes: Attributes, rng: np.random.Generator) -> None:
    """A blazer, or a coat: longer, with two rows of buttons."""
    coat = attributes.category == "coat"
    cut = jittered(LONG if coat else TAILORED, rng, attributes)
    lay_sleeves(canvas, cut, attributes.sleeve)
    inside = symmetric((0, cut.neck_y + 0.02), (cut.neck, cut.neck_y), (0, cut.neck_y + cut.dip * 2.4))
    canvas.trim(inside, details.lining(canvas), shade=0.8)
    lay_body(canvas, cut, "notched lapel")
    deep = cut.neck_y + cut.dip * 2.3
    canvas.seam(outline((0, deep), (0.015, cut.hem_y + 0.03)))
    collars.lapels(canvas, cut.neck, cut.neck_y, deep)
    rows, columns = (3, (-0.09, 0.11)) if coat else (2, (0.03,))
    for y in deep + 0.07 + np.arange(rows) * (0.2 if coat else 0.17):
        for x in columns:
            details.button(canvas, x, float(y), 0.03)
    pocket_y = cut.waist_y + (0.2 if coat else 0.13)
    for sign in (1, -1):
        details.flap_pocket(canvas, sign * cut.waist * 0.60, pocket_y, 0.13 if coat else 0.14)
