"""`freeze` and `train_layers`: what they say, alone and together."""

from __future__ import annotations

import pytest

from easynlp_fashionklip.config import AppConfig, parse_user_defined_parameters
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.freezing import FREEZE_VALUES, FROZEN, Freezing, TowerTraining, parse_freezing

OWN, ALL = TowerTraining("own"), TowerTraining("all")


def above(layers: int) -> TowerTraining:
    return TowerTraining("above", layers)


@pytest.mark.parametrize(
    ("freeze", "vision", "text"),
    [
        ("", OWN, OWN),
        ("none", ALL, ALL),
        ("vision", FROZEN, ALL),
        ("text", ALL, FROZEN),
        ("both", FROZEN, FROZEN),
        ("text,vision", FROZEN, FROZEN),
        ("layers:0", above(0), above(0)),
        ("layers:3", above(3), above(3)),
        ("text,layers:6", above(6), FROZEN),
        ("layers:12,vision", FROZEN, above(12)),
    ],
)
def test_what_is_not_named_trains(freeze: str, vision: TowerTraining, text: TowerTraining) -> None:
    assert parse_freezing(freeze) == Freezing(vision, text)
    assert parse_user_defined_parameters(f"freeze={freeze}").freezing == Freezing(vision, text)


@pytest.mark.parametrize(
    "freeze",
    [
        "audio",
        "Vision",
        "vision,",
        ",",
        "layers",
        "layers:",
        "layers:-1",
        "layers:1.5",
        "layers:two",
        "image",
        "0",
        "²",
    ],
)
def test_other_values_are_refused_with_all_that_there_are(freeze: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_user_defined_parameters(f"freeze={freeze}")
    assert str(caught.value).startswith(f"--user_defined_parameters: freeze={freeze}: ")
    assert FREEZE_VALUES in str(caught.value)


@pytest.mark.parametrize(
    ("freeze", "sentence"),
    [
        ("none,text", "none goes with nothing else"),
        ("none,layers:1", "none goes with nothing else"),
        ("both,text", "a tower is named twice"),
        ("text,text", "a tower is named twice"),
        ("layers:1,layers:2", "layers:n is given twice"),
        ("both,layers:2", "layers:n finds no tower left"),
        ("text,vision,layers:2", "layers:n finds no tower left"),
    ],
)
def test_values_that_contradict_each_other(freeze: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse_freezing(freeze)


@pytest.mark.parametrize(
    ("freeze", "layers", "vision"),
    [
        ("", 0, OWN),
        ("", 2, OWN),
        ("vision", 2, FROZEN),
        ("text", 0, ALL),
        ("both", 0, FROZEN),
        ("text,layers:1", 0, above(1)),
    ],
)
def test_train_layers_beside_a_freeze_that_leaves_the_text_tower_alone(
    freeze: str, layers: int, vision: TowerTraining
) -> None:
    assert AppConfig(freeze=freeze, train_layers=layers).freezing == Freezing(vision, TowerTraining("top", layers))


@pytest.mark.parametrize(
    ("freeze", "layers"), [("text", 1), ("both", 2), ("none", 0), ("none", 7), ("layers:2", 2), ("vision,layers:2", 3)]
)
def test_train_layers_that_says_something_else(freeze: str, layers: int) -> None:
    with pytest.raises(InputError, match=f"freeze={freeze} and train_layers={layers} both say"):
        AppConfig(freeze=freeze, train_layers=layers)


@pytest.mark.parametrize("value", ["0", "-0.5", "1.01", "nan"])
def test_layer_decay_is_above_0_and_at_most_1(value: str) -> None:
    with pytest.raises(InputError, match="layer_decay=.* is out of range"):
        parse_user_defined_parameters(f"layer_decay={value}")
