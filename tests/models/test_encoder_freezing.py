"""`freeze=` on every family of encoders."""

from __future__ import annotations

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.freezing import parse_freezing
from easynlp_fashionklip.models.dual_encoder import DualEncoder


@pytest.mark.parametrize(
    ("freeze", "image", "text"),
    [
        ("none", "all", "all"),
        ("vision", 0, "all"),
        ("text", "all", 0),
        ("both", 0, 0),
        ("layers:1", "above", 1),
        ("layers:2,vision", 0, 0),
    ],
)
def test_freeze_reaches_the_towers_of_every_family(
    encoder: DualEncoder, freeze: str, image: int | str, text: int | str
) -> None:
    """All small text towers have two layers above their embeddings; heads and temperature always train."""
    encoder.freeze(parse_freezing(freeze))
    for tower, expected in ((encoder.backend.image_tower, image), (encoder.backend.text_tower, text)):
        depth = len(tower.blocks) - 1
        layers = {"all": depth + 1, "above": depth - 1}.get(str(expected), expected)
        assert tower.trainable == layers
        trains = any(parameter.requires_grad for parameter in tower.parameters())
        assert trains == (layers != 0)
    inside = {id(p) for t in (encoder.backend.image_tower, encoder.backend.text_tower) for p in t.parameters()}
    outside = [parameter for parameter in encoder.parameters() if id(parameter) not in inside]
    assert len(outside) >= 3
    assert all(parameter.requires_grad for parameter in outside)


def test_an_empty_freeze_keeps_the_models_own_choice(encoder: DualEncoder) -> None:
    before = [parameter.requires_grad for parameter in encoder.parameters()]
    encoder.freeze(parse_freezing(""))
    assert [parameter.requires_grad for parameter in encoder.parameters()] == before


def test_freezing_more_layers_than_there_are_changes_nothing(encoder: DualEncoder) -> None:
    before = [parameter.requires_grad for parameter in encoder.parameters()]
    with pytest.raises(InputError, match=r"layers:3 goes beyond the \w+ tower, which has 2 layers; give layers:0 to"):
        encoder.freeze(parse_freezing("layers:3"))
    assert [parameter.requires_grad for parameter in encoder.parameters()] == before
