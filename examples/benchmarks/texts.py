"""Made-up product texts for benchmarks: few repeat a sentence, and no two are meant to be equal."""

from __future__ import annotations

import random
from collections.abc import Iterator


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


COLOURS = words("black white navy grey beige red green blue pink brown khaki cream mustard lilac rust teal olive")
SHADES = words("light dark pale deep dusty bright")
PATTERNS = words("striped checked floral printed ribbed quilted plain embroidered patterned washed")
GARMENTS = words(
    """
    dress shirt t-shirt blouse jacket coat skirt jumper cardigan hoodie kurta bag sandal trainer belt scarf top
    waistcoat blazer tunic
    """
)
STUFFS = words("cotton linen viscose jersey wool silk denim satin fleece corduroy twill canvas mesh lace poplin")
PARTS = words(
    """
    collar cuff hem pocket hood sleeve button zip belt strap lining yoke pleat frill drawstring neckline placket
    """
)
LOOKS = words(
    """
    round short long wide narrow curved concealed elasticated detachable gathered padded dropped adjustable
    """
)
NAMES = [a + b for a in words("ka mo ri ven tel sor lu bran dor fi") for b in words("ton ra mel vik sa")]
CLAUSES = (
    "{g} in {l} {s} with a {l2} {p} and {l3} {p2}s",
    "The {g} has a {l} {p}, {l2} {p2}s and a {p3} in {c} {s}",
    "{l} {p}s, {n} {p2}s at the front and a {l2} {p3}",
    "Made from {n} % {s} with {l} {p} and contrasting {c} {p2}",
    "Fitted {g} cut from {s}, with {l} {p} at the back and {n} cm {p2}",
    "Wear this {g} by {name} with a {c} {g2} for a look from the {n}s",
)


def made_up(count: int, seed: int = 0) -> Iterator[str]:
    """`count` texts: a title and two to four sentences, numbers and names in them; the same for the same seed."""
    rng = random.Random(seed)

    def pick(words: list[str]) -> str:
        return words[int(rng.random() * len(words))]

    for _ in range(count):
        garment, colour = pick(GARMENTS), pick(COLOURS)
        title = (
            f"{pick(NAMES).title()} {pick(SHADES).title()} {colour.title()} {pick(PATTERNS).title()} {garment.title()}"
        )
        sentences = [
            pick(list(CLAUSES)).format(
                g=garment, g2=pick(GARMENTS), c=pick(COLOURS), s=pick(STUFFS), l=pick(LOOKS), l2=pick(LOOKS),
                l3=pick(LOOKS), p=pick(PARTS), p2=pick(PARTS), p3=pick(PARTS), name=pick(NAMES).title(),
                n=rng.randrange(2, 100),
            )
            for _ in range(rng.randrange(2, 5))
        ]  # fmt: skip
        yield ". ".join([title, *sentences]) + "."
