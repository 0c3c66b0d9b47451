"""Key maps are reversible and complete."""

from __future__ import annotations

import pytest
import torch
from transformers import MobileNetV2Config, MobileNetV2Model

from easynlp_fashionklip.models.conversion import TONYLINS_MOBILENET_V2, KeyMap, TensorMap


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


PACKED = TensorMap(
    KeyMap((("block.norm.", "layer.norm."), ("proj", "head.weight"), ("scale", "scale"))),
    transposed=("proj",),
    packed=(("block.in_", ("layer.q.", "layer.k.", "layer.v.")),),
)


def test_packed_and_transposed_tensors_go_there_and_back_bit_for_bit() -> None:
    state = {
        "block.in_weight": torch.arange(12.0).reshape(6, 2),
        "block.in_bias": torch.arange(6.0),
        "block.norm.weight": torch.rand(3).half(),
        "proj": torch.rand(3, 5),
        "scale": torch.tensor(1.5),
    }
    ours = PACKED.convert(state)
    assert ours["layer.q.weight"].tolist() == [[0, 1], [2, 3]]
    assert ours["layer.v.bias"].tolist() == [4, 5]
    assert ours["head.weight"].shape == (5, 3)
    assert len(ours) == 9
    back = PACKED.restore(ours)
    assert back.keys() == state.keys()
    for key, value in state.items():
        assert back[key].dtype == value.dtype
        assert torch.equal(back[key], value)


def test_a_key_that_no_entry_covers_is_named_both_ways() -> None:
    with pytest.raises(KeyError, match="extra"):
        PACKED.convert({"extra": torch.zeros(1)})
    with pytest.raises(KeyError, match="extra"):
        PACKED.restore({"extra": torch.zeros(1)})
    with pytest.raises(KeyError, match=r"layer\.k\.bias"):
        PACKED.restore({"layer.q.bias": torch.zeros(2), "layer.v.bias": torch.zeros(2)})


def test_a_packed_tensor_that_cannot_be_cut_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        PACKED.convert({"block.in_bias": torch.zeros(2)})
