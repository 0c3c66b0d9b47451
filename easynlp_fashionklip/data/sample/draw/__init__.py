"""Pictures of products: outlines per kind of garment, laid on a canvas, lit and shrunk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from easynlp_fashionklip.data.sample.attributes import Attributes
from easynlp_fashionklip.data.sample.draw import bags, bottoms, hats, shoes, tops
from easynlp_fashionklip.data.sample.draw.canvas import OVERSAMPLE, Canvas, Rendering
from easynlp_fashionklip.data.sample.draw.fabric import Fabric
from easynlp_fashionklip.data.sample.draw.geometry import Placement

Draw = Callable[[Canvas, Attributes, np.random.Generator], None]

DRAWINGS: dict[str, Draw] = {
    "t-shirt": tops.draw_soft_top,
    "tank top": tops.draw_soft_top,
    "shirt": tops.draw_shirt,
    "sweater": tops.draw_knitwear,
    "cardigan": tops.draw_cardigan,
    "hoodie": tops.draw_hoodie,
    "jacket": tops.draw_jacket,
    "blazer": tops.draw_tailored,
    "coat": tops.draw_tailored,
    "dress": bottoms.draw_dress,
    "skirt": bottoms.draw_skirt,
    "trousers": bottoms.draw_trousers,
    "jeans": bottoms.draw_trousers,
    "shorts": bottoms.draw_shorts,
    "sneaker": shoes.draw_sneakers,
    "boot": shoes.draw_boots,
    "sandal": shoes.draw_sandals,
    "heel": shoes.draw_heels,
    "tote bag": bags.draw_tote,
    "backpack": bags.draw_backpack,
    "clutch": bags.draw_clutch,
    "cap": hats.draw_cap,
    "beanie": hats.draw_beanie,
    "sun hat": hats.draw_sun_hat,
}
FRAMING = {
    "t-shirt": (1.12, 0.0),
    "tank top": (1.25, 0.02),
    "shirt": (1.08, 0.0),
    "sweater": (1.08, 0.03),
    "cardigan": (1.08, 0.03),
    "jacket": (1.08, 0.06),
    "shorts": (1.3, 0.5),
    "tote bag": (1.02, 0.05),
    "backpack": (1.1, 0.0),
    "beanie": (1.15, 0.04),
}
"""Scale and downward shift by which categories that would look small or lie high fill the picture."""
FACING_SIDES = ("sneaker", "boot", "heel", "cap", "clutch")


def draw_product(attributes: Attributes, rng: np.random.Generator, image_size: int) -> Rendering:
    """Draw one product, `image_size` x `image_size` RGB on white; pose, dye and light are drawn from `rng`."""
    size, lower = FRAMING.get(attributes.category, (1.0, 0.0))
    placement = Placement(
        side=image_size * OVERSAMPLE,
        angle=float(np.clip(rng.normal(0, 0.045), -0.11, 0.11)),
        scale=float(rng.uniform(0.92, 1.02)) * size,
        shift=(float(rng.uniform(-0.04, 0.04)), lower + float(rng.uniform(-0.04, 0.04))),
        flip=bool(rng.random() < 0.5) and attributes.category in FACING_SIDES,
    )
    canvas = Canvas(image_size, placement, Fabric.of(attributes, rng))
    DRAWINGS[attributes.category](canvas, attributes, rng)
    return canvas.finish(rng, attributes.material)


__all__ = ["DRAWINGS", "Rendering", "draw_product"]
