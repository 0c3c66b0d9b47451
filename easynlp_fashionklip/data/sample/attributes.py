"""What a sample product can be: the vocabulary as data, and the drawing of one product's attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

Colour = tuple[int, int, int]
Item = TypeVar("Item")

PALETTE: dict[str, Colour] = {
    "black": (30, 30, 32),
    "white": (246, 246, 243),
    "grey": (142, 144, 148),
    "red": (203, 32, 42),
    "burgundy": (118, 14, 52),
    "orange": (236, 122, 34),
    "yellow": (246, 206, 54),
    "green": (46, 138, 72),
    "olive": (118, 118, 54),
    "teal": (20, 132, 138),
    "blue": (52, 108, 204),
    "navy": (28, 38, 88),
    "purple": (122, 62, 162),
    "pink": (242, 152, 182),
    "brown": (106, 66, 36),
    "beige": (220, 200, 168),
}
"""Named colours, sRGB. No two are closer than 50 in RGB, so lighting jitter does not turn one into another."""

PLAIN = "plain"
MOST_PATTERNS = ("striped", "checked", "polka dot", "floral", "colour block")
PLAIN_SHARE = 0.42
"""Share of products with no pattern among the categories that may have one."""


@dataclass(frozen=True)
class Noun:
    """A name for a category: `head` with the modifiers that belong to the name ("tote" of "tote bag")."""

    head: str
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Category:
    """One kind of product.

    `nouns` begins with the commonest name, which is also the category's; the others mean the same. `number` is "one",
    "pair" (written in the plural: sneakers) or "plural" (has no singular: jeans). An empty tuple of values means that
    the category has no such attribute. A detail is drawn and may be told; at most one of `details` is taken.
    """

    nouns: tuple[Noun, ...]
    number: str = "one"
    genders: tuple[str, ...] = ("women", "men")
    patterns: tuple[str, ...] = MOST_PATTERNS
    colours: tuple[str, ...] = tuple(PALETTE)
    sleeves: tuple[str, ...] = ()
    necklines: tuple[str, ...] = ()
    lengths: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    details: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The category's column value: its commonest name."""
        return " ".join((*self.nouns[0].before, self.nouns[0].head))


SMALL_PATTERNS = ("striped", "checked", "polka dot", "floral")
SLEEVES = ("short sleeve", "long sleeve")

CATEGORIES: tuple[Category, ...] = (
    Category(
        (Noun("t-shirt"), Noun("tee")),
        sleeves=SLEEVES,
        necklines=("crew neck", "v-neck"),
        lengths=("", "", "", "cropped"),
        materials=("cotton", "jersey"),
        details=("", "", "patch pocket"),
    ),
    Category(
        (Noun("top", ("tank",)), Noun("top", ("vest",))),
        necklines=("scoop neck", "v-neck"),
        lengths=("", "", "cropped"),
        materials=("cotton", "jersey"),
    ),
    Category(
        (Noun("shirt"),),
        sleeves=SLEEVES,
        necklines=("spread collar",),
        materials=("cotton", "linen"),
        patterns=("striped", "checked", "checked", "polka dot", "floral"),
        details=("button closure", "patch pocket"),
    ),
    Category(
        (Noun("sweater"), Noun("jumper"), Noun("pullover")),
        sleeves=("long sleeve",),
        necklines=("crew neck", "v-neck", "turtleneck"),
        lengths=("", "", "", "cropped"),
        materials=("wool", "knit", "cashmere"),
        patterns=("striped", "checked", "polka dot", "colour block"),
    ),
    Category(
        (Noun("cardigan"),),
        sleeves=("long sleeve",),
        necklines=("v-neck",),
        materials=("wool", "knit"),
        patterns=("striped", "checked", "colour block"),
        details=("button closure", "patch pocket"),
    ),
    Category(
        (Noun("hoodie"), Noun("sweatshirt", ("hooded",))),
        sleeves=("long sleeve", "long sleeve", "short sleeve"),
        necklines=("drawstring hood",),
        lengths=("", "", "", "cropped"),
        materials=("cotton", "fleece"),
        patterns=("striped", "colour block", "colour block", "checked"),
        details=("kangaroo pocket", "zip closure"),
    ),
    Category(
        (Noun("jacket"), Noun("jacket", ("bomber",))),
        sleeves=("long sleeve",),
        necklines=("stand collar",),
        lengths=("", "", "", "cropped"),
        materials=("leather", "nylon", "denim"),
        patterns=("checked", "colour block", "floral"),
        details=("zip closure", "flap pocket"),
    ),
    Category(
        (Noun("blazer"),),
        sleeves=("long sleeve",),
        necklines=("notched lapel",),
        materials=("wool", "linen"),
        patterns=("striped", "checked"),
        details=("flap pocket", "button closure"),
    ),
    Category(
        (Noun("coat"), Noun("overcoat")),
        sleeves=("long sleeve",),
        necklines=("notched lapel",),
        materials=("wool", "cashmere"),
        patterns=("checked", "colour block"),
        details=("flap pocket", "button closure"),
    ),
    Category(
        (Noun("dress"),),
        genders=("women",),
        sleeves=("sleeveless", "short sleeve", "long sleeve"),
        necklines=("crew neck", "v-neck", "scoop neck"),
        lengths=("mini", "midi", "maxi"),
        materials=("cotton", "silk", "linen"),
        details=("", "", "button closure", "patch pocket"),
    ),
    Category(
        (Noun("skirt"),),
        genders=("women",),
        lengths=("mini", "midi", "maxi"),
        materials=("cotton", "silk", "wool"),
        details=("", "button closure", "patch pocket"),
    ),
    Category(
        (Noun("trousers"), Noun("pants")),
        number="plural",
        lengths=("", "", "cropped"),
        materials=("cotton", "wool", "linen"),
        patterns=("striped", "checked", "floral", "polka dot"),
        details=("", "slant pocket"),
    ),
    Category(
        (Noun("jeans"),),
        number="plural",
        lengths=("", "", "cropped"),
        materials=("denim",),
        patterns=("colour block",),
        colours=("blue", "navy", "black", "grey", "white", "beige", "olive"),
        details=("", "slant pocket"),
    ),
    Category(
        (Noun("shorts"),),
        number="plural",
        materials=("cotton", "linen", "denim"),
        details=("", "slant pocket", "drawstring waistband"),
    ),
    Category(
        (Noun("sneaker"), Noun("trainer")),
        number="pair",
        lengths=("high top", "low top"),
        materials=("canvas", "leather"),
        patterns=(*SMALL_PATTERNS, "colour block"),
        details=("lace closure",),
    ),
    Category(
        (Noun("boot"),),
        number="pair",
        lengths=("ankle", "knee high"),
        materials=("leather", "suede"),
        patterns=(),
        details=("", "zip closure", "lace closure"),
    ),
    Category(
        (Noun("sandal"),), number="pair", materials=("leather", "suede"), patterns=(), details=("buckle closure", "")
    ),
    Category(
        (Noun("heel"), Noun("pump")),
        number="pair",
        genders=("women",),
        materials=("leather", "suede", "satin"),
        patterns=("polka dot", "floral", "checked"),
        details=("", "", "ankle strap"),
    ),
    Category(
        (Noun("bag", ("tote",)), Noun("bag", ("shopper",))),
        genders=("unisex",),
        materials=("canvas", "leather"),
        details=("", "patch pocket"),
    ),
    Category(
        (Noun("backpack"), Noun("rucksack")),
        genders=("unisex",),
        materials=("nylon", "canvas", "leather"),
        details=("zip pocket",),
    ),
    Category(
        (Noun("clutch"), Noun("bag", ("clutch",))),
        genders=("women",),
        materials=("leather", "satin"),
        details=("clasp closure", "wrist strap"),
    ),
    Category(
        (Noun("cap"), Noun("cap", ("baseball",))),
        genders=("unisex",),
        materials=("cotton", "denim"),
        patterns=("striped", "checked", "polka dot", "colour block"),
    ),
    Category(
        (Noun("beanie"),),
        genders=("unisex",),
        materials=("wool", "knit"),
        patterns=("striped", "striped", "colour block"),
        details=("", "pompom"),
    ),
    Category(
        (Noun("hat", ("sun",)),),
        genders=("women", "unisex"),
        materials=("straw",),
        patterns=("striped", "polka dot", "checked"),
        details=("ribbon band",),
    ),
)

CATEGORY_BY_NAME: dict[str, Category] = {category.name: category for category in CATEGORIES}


@dataclass(frozen=True)
class Attributes:
    """What one product is; an empty string is an attribute that its category lacks.

    `accent` is the second colour: of the stripes, dots, flowers, checks or block, else of small trims.
    """

    category: str
    colour: str
    pattern: str
    accent: str
    gender: str
    sleeve: str = ""
    neckline: str = ""
    length: str = ""
    material: str = ""
    detail: str = ""


def pick(rng: np.random.Generator, values: Sequence[Item]) -> Item:
    """One of `values`, each as likely."""
    return values[int(rng.integers(len(values)))]


def draw_attributes(rng: np.random.Generator) -> Attributes:
    """The attributes of one product, drawn from `rng`."""
    category = pick(rng, CATEGORIES)
    colour = pick(rng, category.colours)
    plain = not category.patterns or rng.random() < PLAIN_SHARE
    optional = (category.sleeves, category.necklines, category.lengths, category.materials, category.details)
    sleeve, neckline, length, material, detail = (pick(rng, values or ("",)) for values in optional)
    return Attributes(
        category=category.name,
        colour=colour,
        pattern=PLAIN if plain else pick(rng, category.patterns),
        accent=pick(rng, accents_of(colour)),
        gender=pick(rng, category.genders),
        sleeve=sleeve,
        neckline=neckline,
        length=length,
        material=material,
        detail=detail,
    )


@cache
def accents_of(colour: str) -> tuple[str, ...]:
    """The colours that stand out against `colour`: at least 150 away in RGB; the neutral ones twice as likely."""
    base = np.array(PALETTE[colour])
    far = tuple(name for name, rgb in PALETTE.items() if np.linalg.norm(base - rgb) >= 150)
    return far + tuple(name for name in far if name in ("white", "black", "navy", "beige"))
