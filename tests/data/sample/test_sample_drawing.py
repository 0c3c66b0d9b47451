"""Pictures show what the attributes say: every category, colours near their names, patterns, lengths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from easynlp_fashionklip.data.sample.attributes import (
    CATEGORIES,
    CATEGORY_BY_NAME,
    PALETTE,
    Attributes,
    accents_of,
    draw_attributes,
)
from easynlp_fashionklip.data.sample.draw import DRAWINGS, Rendering, draw_product

SIZE = 48


def first_of(category: str) -> Attributes:
    kind = CATEGORY_BY_NAME[category]
    sleeve, neckline, length, material, detail = (
        (values or ("",))[-1] for values in (kind.sleeves, kind.necklines, kind.lengths, kind.materials, kind.details)
    )
    return Attributes(category, "red", "plain", "white", kind.genders[0], sleeve, neckline, length, material, detail)


def drawn(attributes: Attributes, seed: int = 0, size: int = SIZE) -> Rendering:
    return draw_product(attributes, np.random.default_rng(seed), size)


def cloth_colour(rendering: Rendering) -> np.ndarray:
    return np.asarray(rendering.image, dtype=float)[rendering.cloth > 0.99].mean(axis=0)


def nearest_name(rgb: np.ndarray) -> str:
    return min(PALETTE, key=lambda name: float(np.linalg.norm(rgb - PALETTE[name])))


def test_every_category_has_a_drawing() -> None:
    assert set(DRAWINGS) == {category.name for category in CATEGORIES}


@pytest.mark.parametrize("category", sorted(DRAWINGS))
def test_every_value_of_a_category_can_be_drawn(category: str) -> None:
    kind, base = CATEGORY_BY_NAME[category], first_of(category)
    for name in ("sleeves", "necklines", "lengths", "details", "patterns", "materials"):
        for value in getattr(kind, name):
            cloth = drawn(replace(base, **{name.removesuffix("s"): value}), size=32).cloth
            assert 0.05 < (cloth > 0.5).mean() < 0.8


@pytest.mark.parametrize("category", sorted(DRAWINGS))
def test_product_stays_inside_the_picture(category: str) -> None:
    for seed in range(4):
        pixels = np.asarray(drawn(first_of(category), seed).image, dtype=int)
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (border.min(axis=1) > 180).mean() > 0.98


@pytest.mark.parametrize("colour", sorted(PALETTE))
def test_plain_cloth_is_nearest_to_its_named_colour(colour: str) -> None:
    for seed, category in enumerate(sorted(DRAWINGS)):
        attributes = replace(first_of(category), colour=colour, accent=accents_of(colour)[0])
        assert nearest_name(cloth_colour(drawn(attributes, seed))) == colour, category


@pytest.mark.parametrize("pattern", ["striped", "checked", "polka dot", "floral", "colour block"])
def test_patterns_bring_in_the_accent(pattern: str) -> None:
    plain = drawn(first_of("t-shirt"))
    patterned = drawn(replace(first_of("t-shirt"), pattern=pattern))
    green = np.asarray(patterned.image)[..., 1][patterned.cloth > 0.99]
    assert (green > 120).mean() > 0.08  # white accents; red cloth stays far below
    assert (np.asarray(plain.image)[..., 1][plain.cloth > 0.99] > 120).mean() < 0.03


def test_longer_hems_and_sleeves_cover_more() -> None:
    def lowest(**changes: str) -> int:
        return int(np.flatnonzero((drawn(replace(base, **changes)).cloth > 0.5).any(axis=1)).max())

    base = first_of("dress")
    assert lowest(length="mini") < lowest(length="midi") < lowest(length="maxi")
    base = first_of("sweater")
    assert lowest(length="cropped") <= lowest(length="")
    areas = [drawn(replace(first_of("dress"), sleeve=sleeve)).cloth.sum() for sleeve in
             ("sleeveless", "short sleeve", "long sleeve")]  # fmt: skip
    assert areas == sorted(areas)


def test_named_colours_are_far_apart_and_accents_stand_out() -> None:
    names = sorted(PALETTE)
    distances = [np.linalg.norm(np.subtract(PALETTE[a], PALETTE[b])) for i, a in enumerate(names) for b in names[:i]]
    assert min(distances) >= 50
    assert all(len(set(accents_of(name))) >= 3 for name in names)


def test_attributes_lie_within_their_category() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        attributes = draw_attributes(rng)
        kind = CATEGORY_BY_NAME[attributes.category]
        assert attributes.pattern in (*kind.patterns, "plain")
        assert attributes.gender in kind.genders
        assert attributes.sleeve in (kind.sleeves or ("",))
        assert attributes.accent in accents_of(attributes.colour)
