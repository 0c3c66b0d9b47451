"""Files of weights in OpenAI's layout, in every wrapping they come in, as encoders."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPModel

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.conversion.clip_shape import check_heads, shape_of
from easynlp_fashionklip.models.conversion.open_clip_config import read_open_clip_config
from easynlp_fashionklip.models.digest import encoder_digest
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained

State = dict[str, Tensor]
NUMBERS = {"input_resolution": torch.tensor(32), "context_length": torch.tensor(40), "vocab_size": torch.tensor(258)}
TEXTS = ["a red t-shirt", "jeans"]


@pytest.fixture
def reference(state: State, folder: Path) -> DualEncoder:
    torch.save(state, folder / "reference.pt")
    return load_pretrained(folder / "reference.pt", activation="quick_gelu")


def same(first: DualEncoder, second: DualEncoder) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[key]) for key, value in first.state_dict().items())


def activation(model: DualEncoder) -> str:
    assert model.config.vision_config.hidden_act == model.config.text_config.hidden_act
    return str(model.config.vision_config.hidden_act)


def test_architecture_is_read_off_the_weights(reference: DualEncoder) -> None:
    vision, text = reference.config.vision_config, reference.config.text_config
    assert (vision.image_size, vision.patch_size, vision.hidden_size, vision.num_hidden_layers) == (32, 8, 64, 2)
    assert (vision.num_attention_heads, vision.intermediate_size, reference.embed_dim) == (1, 256, 32)
    assert (text.vocab_size, text.max_position_embeddings, text.eos_token_id) == (258, 40, 257)
    assert (reference.processor.image_size, reference.processor.max_length) == (32, 40)
    assert reference.logit_scale.item() == 4.0
    assert not reference.training


def test_weights_are_where_they_belong(reference: DualEncoder, state: State) -> None:
    ours = reference.backend.checkpoint_tensors()
    q, k, v = state["visual.transformer.resblocks.1.attn.in_proj_weight"].chunk(3)
    assert torch.equal(ours["vision_model.encoder.layers.1.self_attn.k_proj.weight"], k)
    assert torch.equal(ours["visual_projection.weight"], state["visual.proj"].T)
    assert torch.equal(ours["text_projection.weight"], state["text_projection"].T)
    assert torch.equal(ours["vision_model.pre_layrnorm.bias"], state["visual.ln_pre.bias"])


def wrapped(state: State) -> dict[str, Any]:
    # A cosine schedule written with numpy leaves a number of numpy in the optimizer.
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": np.float64(1e-5), "params": [0]}]}
    inner = {f"module.{key}": value for key, value in state.items()}
    return {
        "epoch": 20,
        "name": "lr=1e-05_wd=0.001_agg=True_model=ViT-B/32",
        "state_dict": inner,
        "optimizer": optimizer,
    }


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda state: {f"module.{key}": value for key, value in state.items()}, id="module."),
        pytest.param(lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()}, id="compiled"),
        pytest.param(lambda state: {"state_dict": state}, id="state_dict"),
        pytest.param(wrapped, id="release"),
        pytest.param(lambda state: state | NUMBERS, id="numbers"),
    ],
)
def test_every_wrapping_holds_the_same_encoder(
    wrap: Callable[[State], Any], state: State, folder: Path, reference: DualEncoder
) -> None:
    torch.save(wrap(state), folder / "wrapped.pt")
    assert same(load_pretrained(folder / "wrapped.pt", activation="quick_gelu"), reference)


def test_torch_files_of_the_old_kind_and_safetensors(state: State, folder: Path, reference: DualEncoder) -> None:
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    save_file(state, folder / "weights.safetensors")
    for name in ("old.pt", "weights.safetensors"):
        assert same(load_pretrained(folder / name, activation="quick_gelu"), reference)


def test_torchscript_archives_are_read_without_their_program(
    state: State, folder: Path, reference: DualEncoder, torchscript: Callable[[State, Path], None]
) -> None:
    torchscript(state | NUMBERS, folder / "ViT.pt")
    model = load_pretrained(folder / "ViT.pt")
    assert same(model, reference)
    assert activation(model) == "quick_gelu"


def test_masks_that_a_program_keeps_are_no_weights(
    state: State, folder: Path, reference: DualEncoder, torchscript: Callable[[State, Path], None]
) -> None:
    """In a TorchScript archive every tensor is an attribute, the causal mask of OpenAI's blocks too."""
    masks = {f"transformer.resblocks.{layer}.attn_mask": torch.zeros(40, 40) for layer in range(2)}
    torchscript(state | masks | NUMBERS, folder / "ViT.pt")
    torch.save(state | {"attn_mask": torch.zeros(40, 40)}, folder / "old.pt")
    assert same(load_pretrained(folder / "ViT.pt"), reference)
    assert same(load_pretrained(folder / "old.pt", activation="quick_gelu"), reference)


def test_half_precision_is_widened(state: State, folder: Path) -> None:
    torch.save({key: value.half() for key, value in state.items()}, folder / "half.pt")
    model = load_pretrained(folder / "half.pt", activation="gelu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.backend.model.visual_projection.weight, state["visual.proj"].half().float().T)


def test_it_encodes_trains_and_is_saved_as_an_ordinary_folder(
    state: State, folder: Path, tmp_path: Path, pictures: list[Image.Image], step: Callable[..., None]
) -> None:
    torch.save(state, folder / "clip.pt")
    model = load_pretrained(folder / "clip.pt", activation="gelu")
    step(model, pictures[:2], TEXTS)
    model.eval()
    model.save_pretrained(tmp_path / "saved")
    again = load_pretrained(tmp_path / "saved")
    assert same(again, model)
    assert activation(again) == "gelu"
    inputs = model.processor(images=pictures, texts=TEXTS)
    plain = CLIPModel.from_pretrained(tmp_path / "saved").eval()
    with torch.no_grad():
        wanted = plain(**{**inputs, "input_ids": inputs["input_ids"]}).image_embeds
        torch.testing.assert_close(model.encode_image(inputs["pixel_values"]), wanted)


def test_image_size_is_taken_over(state: State, folder: Path, pictures: list[Image.Image]) -> None:
    torch.save(state, folder / "clip.pt")
    model = load_pretrained(folder / "clip.pt", activation="gelu", image_size=48)
    assert model.encode_image(model.processor(images=pictures)["pixel_values"]).shape == (3, 32)
    assert model.processor.image_size == 48


# ---------------------------------------------------------------------------------------------------------- activation


@pytest.mark.parametrize(
    ("name", "wrap", "wanted"),
    [
        ("ViT-B-32.pt", lambda state: state, "quick_gelu"),
        ("any.pt", lambda state: state | NUMBERS, "quick_gelu"),
        ("pai-clip-commercial-base-en.pt", lambda state: state, "quick_gelu"),
        ("epoch_latest.pt", wrapped, "quick_gelu"),
        ("pytorch_model.bin", lambda state: {f"open_clip.{key}": value for key, value in state.items()}, "quick_gelu"),
        ("epoch_1.pt", lambda state: wrapped(state) | {"name": "2024_01_01-model_ViT-B-32-lr_0.0005"}, "gelu"),
        ("epoch_2.pt", lambda state: wrapped(state) | {"name": "2024-model_ViT-B-32-quickgelu-lr_1"}, "quick_gelu"),
        ("epoch_3.pt", lambda state: wrapped(state) | {"scaler": {}, "name": "mine"}, "gelu"),
        ("open_clip_pytorch_model.bin", lambda state: state, "gelu"),
    ],
)
def test_activation_follows_what_lies_around_the_weights(
    name: str, wrap: Callable[[State], Any], wanted: str, state: State, folder: Path
) -> None:
    torch.save(wrap(state), folder / name)
    assert activation(load_pretrained(folder / name)) == wanted


def test_an_activation_without_a_sign_is_warned_of(
    state: State, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(state, folder / "mine.pt")
    with caplog.at_level(logging.INFO):
        load_pretrained(folder / "mine.pt")
    assert "mine.pt does not say which activation" in caplog.text
    assert "clip_activation=quick_gelu" in caplog.text


def test_encoders_of_two_activations_are_told_apart(state: State, folder: Path) -> None:
    torch.save(state, folder / "clip.pt")
    digests = [encoder_digest(load_pretrained(folder / "clip.pt", activation=name)) for name in ("gelu", "quick_gelu")]
    assert digests[0] != digests[1]


def open_clip_config(**more: Any) -> dict[str, Any]:
    model = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 40, "vocab_size": 258, "width": 64, "heads": 2, "layers": 2},
    }
    pictures = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear", "resize_mode": "squash"}
    return {"model_cfg": model | more, "preprocess_cfg": pictures}


def test_open_clips_configuration_beside_the_file_is_heeded(state: State, folder: Path) -> None:
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(open_clip_config(quick_gelu=True)))
    for source in (folder, folder / "open_clip_model.safetensors"):
        model = load_pretrained(source)
        assert activation(model) == "quick_gelu"
        assert model.config.vision_config.num_attention_heads == 4
        assert model.config.text_config.num_attention_heads == 2
        pictures = model.processor.preprocessing
        assert (pictures.mean, pictures.resize_mode, pictures.resample) == ((0.5, 0.5, 0.5), "squash", 2)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"embed_dim": 64}, "says embed_dim=64.*different models"),
        ({"vision_cfg": {"timm_model_name": "vit_base"}}, "timm_model_name='vit_base'"),
        ({"text_cfg": {"hf_model_name": "roberta-base"}}, "hf_model_name='roberta-base'"),
        ({"text_cfg": {"pool_type": "eos"}}, "pool_type='eos'"),
        ({"custom_text": True}, "custom_text"),
        ({"vision_cfg": 3}, "does not describe a CLIP"),
        ({"vision_cfg": {"width": "wide"}}, "does not describe a CLIP"),
        ({"vision_cfg": {"width": 64, "head_width": 48}}, "does not divide"),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    more: dict[str, Any], words: str, state: State, folder: Path
) -> None:
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(open_clip_config(**more)))
    with pytest.raises(InputError, match=words):
        load_pretrained(folder)


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"visual.layer1.0.conv1.weight": torch.zeros(1)}, "RN50"),
        ({"visual.trunk.cls_token": torch.zeros(1)}, "timm"),
        ({"text.transformer.embeddings.weight": torch.zeros(1)}, "text tower is not CLIP's own"),
        ({"logit_bias": torch.zeros(1)}, "SigLIP"),
        ({"vision_model.embeddings.class_embedding": torch.zeros(1)}, "transformers' layout"),
        ({"visual.transformer.resblocks.0.ls_1.gamma": torch.zeros(64)}, "ls_1.gamma"),
        ({"visual.proj": None}, "lacks 'visual.proj'"),
        ({"transformer.resblocks.1.ln_1.bias": None}, "lacks 'text_model.encoder.layers.1.layer_norm1.bias'"),
        ({"transformer.resblocks.0.attn.in_proj_bias": torch.zeros(2)}, "not whole|no whole"),
        ({"visual.ln_pre.bias": torch.zeros(65)}, r"shape \(65,\) where \(64,\)"),
        ({"visual.positional_embedding": torch.zeros(16, 64)}, "16 positions"),
        ({"visual.positional_embedding": torch.zeros(0, 64)}, "no whole CLIP"),
        ({"visual.positional_embedding": torch.zeros(17)}, "no whole CLIP"),
        ({"visual.conv1.weight": torch.zeros(64)}, "no whole CLIP"),
        ({"token_embedding.weight": torch.zeros(64)}, "no whole CLIP"),
        ({"text_projection": torch.zeros(64)}, "no whole CLIP"),
        ({"transformer.resblocks.7.ln_1.bias": torch.zeros(64)}, "not numbered"),
        ({"epoch": 3}, "holds a int under 'epoch'"),
        ({"visual.ln_pre.bias": torch.zeros(1).expand(64)}, "visual.ln_pre.bias is not a plain tensor"),
        ({"visual.ln_pre.bias": torch.zeros(64).to_sparse()}, "not a plain tensor"),
        ({"token_embedding.weight": torch.zeros(100, 64)}, "a tokenizer of 258 words"),
        ({"token_embedding.weight": torch.zeros(300, 64)}, "ends texts with token 257, and .* at token 299"),
        ({"logit_scale": torch.tensor(float("nan"))}, "logit_scale is nan"),
    ],
)
def test_what_is_no_plain_clip_is_named(change: dict[str, Any], words: str, state: State, folder: Path) -> None:
    changed = {key: value for key, value in (state | change).items() if value is not None}
    torch.save(changed, folder / "clip.pt")
    with pytest.raises(InputError, match=words) as caught:
        load_pretrained(folder / "clip.pt", activation="gelu")
    assert "logit_scale" in words or "clip.pt" in str(caught.value)


def test_wide_towers_of_unknown_heads_are_refused(make_state: Callable[..., State]) -> None:
    with torch.device("meta"):
        shape = shape_of(make_state(width=1280, layers=1), "ViT-H.pt")
    with pytest.raises(InputError, match=r"ViT-H.pt has a tower 1280 wide"):
        check_heads(shape, "ViT-H.pt")
    check_heads(shape.with_heads(16, 0), "ViT-H.pt", told=True)


@pytest.mark.parametrize("content", [{}, [1, 2], {"state_dict": {}}, {"epoch": 1}])
def test_files_without_weights_are_named(content: Any, folder: Path) -> None:
    torch.save(content, folder / "other.pt")
    with pytest.raises(InputError, match="other.pt holds"):
        load_pretrained(folder / "other.pt")


def test_other_words_without_a_tokenizer_are_refused(state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(InputError, match="258 words are not CLIP's; put its tokenizer.json"):
        load_pretrained(tmp_path / "clip.pt", activation="gelu")


# -------------------------------------------------------------------------------------------------------------- damage


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("embed_dim", "quick_gelu", "vision_cfg", "text_cfg")
TOWER_FIELDS = ("image_size", "layers", "width", "patch_size", "head_width", "heads", "vocab_size", "context_length")


@given(
    model=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4),
    tower=st.dictionaries(st.sampled_from(TOWER_FIELDS), JSON, max_size=4),
    pictures=JSON,
)
@settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_configuration_is_read_or_told(model: Any, tower: Any, pictures: Any, tmp_path: Path) -> None:
    content = open_clip_config() | {"preprocess_cfg": pictures}
    for name in ("vision_cfg", "text_cfg"):
        content["model_cfg"][name] |= tower
    content["model_cfg"] |= model
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    try:
        read_open_clip_config(tmp_path)
    except InputError as error:
        assert "open_clip_config.json" in str(error)
