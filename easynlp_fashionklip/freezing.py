"""What `freeze` and `train_layers` say: how much of each tower trains."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from easynlp_fashionklip.errors import InputError

FREEZE_VALUES = "none, vision, text, both, layers:n, or a tower and layers:n for the other, such as text,layers:6"
_TOWERS = {"none": set[str](), "vision": {"vision"}, "text": {"text"}, "both": {"vision", "text"}}
_LAYERS = re.compile(r"layers:(\d+)")


@dataclass(frozen=True)
class TowerTraining:
    """How much of one tower trains.

    Attributes:
        what: `own`, as the checkpoint has it; `all`; the `top` layers, of which 0 freezes the tower; or what lies
            `above` the embeddings and the lowest layers.
        layers: how many of them.
    """

    what: Literal["own", "all", "top", "above"] = "own"
    layers: int = 0


FROZEN = TowerTraining("top", 0)


@dataclass(frozen=True)
class Freezing:
    """How much of the vision and of the text tower trains; the heads and the temperature always do."""

    vision: TowerTraining = TowerTraining()
    text: TowerTraining = TowerTraining()


def parse_freezing(freeze: str, train_layers: int = -1) -> Freezing:
    """Read both settings.

    `freeze` names all that does not train, separated by commas: `none`; whole towers (`vision`, `text`, `both`); and
    `layers:n`, the embeddings and the n lowest layers of each tower that is not named. What it does not name trains.
    Left empty, each tower trains as its checkpoint says. `train_layers`, the number of top layers of the text tower
    that train, goes with a `freeze` that leaves the text tower alone, or that says the same.

    Raises:
        InputError: `freeze` is none of these, or says something else of the text tower than `train_layers`.
    """
    chosen = _read(freeze) if freeze else Freezing()
    if train_layers == -1:
        return chosen
    asked = TowerTraining("top", train_layers)
    if chosen.text != asked and not _leaves_text_alone(freeze):
        raise InputError(
            f"--user_defined_parameters: freeze={freeze} and train_layers={train_layers} both say how much of the text "
            "tower trains, and not the same; leave one of them out."
        )
    return Freezing(chosen.vision, asked)


def _leaves_text_alone(freeze: str) -> bool:
    return freeze in ("", "vision")


def _read(freeze: str) -> Freezing:
    named: list[str] = []
    layers: list[int] = []
    words = freeze.split(",")
    for word in words:
        numbered = _LAYERS.fullmatch(word)
        if numbered:
            layers.append(int(numbered[1]))
        elif word in _TOWERS:
            named += _TOWERS[word]
        else:
            raise InputError(f"--user_defined_parameters: freeze={freeze}: {word!r} is not one of {FREEZE_VALUES}.")
    clashes = (
        ("none goes with nothing else", "none" in words and len(words) > 1),
        ("a tower is named twice", len(set(named)) < len(named)),
        ("layers:n is given twice", len(layers) > 1),
        ("layers:n finds no tower left", bool(layers) and len(named) == len(_TOWERS["both"])),
    )
    for clash, found in clashes:
        if found:
            raise InputError(f"--user_defined_parameters: freeze={freeze}: {clash}; give {FREEZE_VALUES}.")
    rest = TowerTraining("above", layers[0]) if layers else TowerTraining("all")
    return Freezing(*(FROZEN if tower in named else rest for tower in ("vision", "text")))
