"""The MobileNetV2 and BERT pair: its config, pooling and settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.pair import PairConfig, mean_pool
from easynlp_fashionklip.models.dual_encoder import DualEncoder


def test_mean_pool_counts_only_unmasked_tokens() -> None:
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]], [[5.0, 6.0], [7.0, 7.0], [7.0, 7.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert mean_pool(hidden, mask).tolist() == [[2.0, 3.0], [5.0, 6.0]]


def test_mean_pool_of_no_token_is_zero() -> None:
    assert mean_pool(torch.ones(1, 2, 3), torch.zeros(1, 2)).tolist() == [[0.0, 0.0, 0.0]]


def test_text_features_are_the_head_of_the_mean_state(pair: DualEncoder) -> None:
    ids, mask = torch.tensor([[256, 5, 6, 257, 257]]), torch.tensor([[1, 1, 1, 1, 0]])
    with torch.no_grad():
        states = pair.backend.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
        wanted = pair.backend.text_head(states[:, :4].mean(dim=1))
        torch.testing.assert_close(pair.backend.text_features(ids, mask), wanted)


def test_head_kinds(make_pair: Callable[..., DualEncoder]) -> None:
    model = make_pair(vision_head="mlp", text_head="linear", head_hidden_dim=12)
    assert [type(layer) for layer in model.backend.vision_head] == [nn.Linear, nn.GELU, nn.Linear]
    assert model.backend.vision_head[0].out_features == 12
    assert isinstance(model.backend.text_head, nn.Linear)


def test_text_tower_is_frozen_and_vision_tower_trains_unless_configured(
    pair: DualEncoder, make_pair: Callable[..., DualEncoder]
) -> None:
    assert (pair.backend.text_tower.trainable, pair.backend.image_tower.trainable) == (0, 17)
    configured = make_pair(text_trainable_layers=2, vision_trainable_layers=0)
    assert (configured.backend.text_tower.trainable, configured.backend.image_tower.trainable) == (2, 0)


def test_trainable_layers_are_kept_in_the_checkpoint(pair: DualEncoder, tmp_path: Path) -> None:
    pair.set_trainable_layers(image=3, text=1)
    pair.save_pretrained(tmp_path)
    towers = DualEncoder.from_pretrained(tmp_path).backend
    assert (towers.image_tower.trainable, towers.text_tower.trainable) == (3, 1)


def test_config_comes_back(pair: DualEncoder) -> None:
    config = pair.config
    again = PairConfig.from_dict(json.loads(config.to_json_string()))
    assert again.to_json_string() == config.to_json_string()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text_haed": "mlp"}, "x.json: unknown field 'text_haed'; known fields: .*text_head"),
        ({"text_head": "deep"}, "text_head='deep' is not one of linear, mlp"),
    ],
)
def test_config_that_cannot_be_used_is_named(pair: DualEncoder, change: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PairConfig.from_dict(pair.config.to_dict() | change, origin="x.json")


def test_config_without_a_tower_is_named() -> None:
    with pytest.raises(InputError, match="x.json does not describe a fashionklip-pair model .*vision"):
        PairConfig.from_dict({"text": {}}, origin="x.json")


def test_tensorflow_padding_is_refused(
    pair: DualEncoder, make_pair: Callable[..., DualEncoder], tmp_path: Path
) -> None:
    pair.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision"]["tf_padding"] = True
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="tf_padding"):
        DualEncoder.from_pretrained(tmp_path)
