"""Texts to mine and a bytewise comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from easynlp_fashionklip.graph.mined import MinedTexts

COLOURS = ("black", "white", "red", "pale pink", "navy blue", "striped", "checked")
GARMENTS = ("dress", "jacket", "skirt", "jumper", "pair of jeans", "shirt", "coat")
DETAILS = ("long sleeves", "a round neck", "two side pockets", "a zip fly", "lace trim at the hem", "wide cuffs")


def _texts(count: int) -> list[str]:
    return [
        f"Kappa Men {COLOURS[i % 7].title()} {GARMENTS[i % 5].title()} {i % 11}\n"
        f"A {COLOURS[i % 7]} {GARMENTS[i // 7 % 7]} number {i} with {DETAILS[i // 49 % 6]} and a kappa logo. "
        f"Made of soft cotton with {DETAILS[i % 6]}."
        for i in range(count)
    ]


def _everything(mined: MinedTexts) -> tuple[Any, ...]:
    surfaces = [list(counts.items()) for counts in mined.surfaces]
    arrays = mined.offsets.tobytes(), mined.phrase_index.tobytes()
    return *arrays, mined.phrases, mined.heads, mined.modifiers, surfaces


@pytest.fixture()
def texts() -> Callable[[int], list[str]]:
    """Writes texts; sentences repeat and a name is in the titles."""
    return _texts


@pytest.fixture()
def everything() -> Callable[[MinedTexts], tuple[Any, ...]]:
    """All that was mined, for a comparison byte for byte."""
    return _everything
