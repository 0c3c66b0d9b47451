"""Key maps are reversible and complete."""

from __future__ import annotations

import pytest
import torch
from transformers import MobileNetV2Config, MobileNetV2Model

from easynlp_fashionklip.models.conversion import TONYLINS_MOBILENET_V2, KeyMap


def test_every_key_of_mobilenet_v2_goes_there_and_back() -> None:
    with torch.device("meta"):
        model = MobileNetV2Model(MobileNetV2Config(tf_padding=False))
    state = model.state_dict()
    theirs = TONYLINS_MOBILENET_V2.reversed().rename(state)
    assert len(theirs) == len(state) == 312
    assert theirs["features.0.0.weight"] is state["conv_stem.first_conv.convolution.weight"]
    assert theirs["features.1.conv.4.running_var"] is state["conv_stem.reduce_1x1.normalization.running_var"]
    assert theirs["features.2.conv.0.weight"] is state["layer.0.expand_1x1.convolution.weight"]
    assert theirs["features.17.conv.7.bias"] is state["layer.15.reduce_1x1.normalization.bias"]
    assert theirs["features.18.1.weight"] is state["conv_1x1.normalization.weight"]
    back = TONYLINS_MOBILENET_V2.rename(theirs)
    assert back.keys() == state.keys()
    assert all(back[key] is state[key] for key in state)


def test_classifier_is_dropped_and_an_unknown_key_is_not() -> None:
    assert TONYLINS_MOBILENET_V2.rename({"classifier.1.weight": 0}) == {}
    with pytest.raises(KeyError, match="features.99.weight"):
        TONYLINS_MOBILENET_V2.rename({"features.99.weight": 0})


def test_first_matching_prefix_wins() -> None:
    key_map = KeyMap((("a.b.", "first."), ("a.", "second.")))
    assert key_map.rename({"a.b.c": 1, "a.c": 2}) == {"first.c": 1, "second.c": 2}
