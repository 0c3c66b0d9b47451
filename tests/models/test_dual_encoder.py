"""What holds for every family: unit vectors, freezing, round trips, the logit scale's shape."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_families import SIGLIP_BIAS, SIGLIP_SCALE
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.dual_encoder import DualEncoder


def encode(model: DualEncoder, pictures: list[Image.Image], texts: list[str]) -> tuple[Tensor | None, Tensor | None]:
    inputs = model.processor(images=pictures, texts=texts)
    with torch.no_grad():
        return model(**inputs)


def test_embeddings_are_unit_norm_float32_of_embed_dim(
    encoder: DualEncoder, pictures: list[Image.Image], texts: list[str]
) -> None:
    for embeds in encode(encoder, pictures, texts):
        assert embeds.shape == (3, encoder.embed_dim)
        assert embeds.dtype == torch.float32
        torch.testing.assert_close(embeds.norm(dim=1), torch.ones(3))


def test_embeddings_are_float32_under_autocast(
    encoder: DualEncoder, pictures: list[Image.Image], texts: list[str]
) -> None:
    exact = encode(encoder, pictures, texts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeds = encode(encoder, pictures, texts)
    for half, full in zip(embeds, exact, strict=True):
        assert half.dtype == torch.float32
        torch.testing.assert_close(half.norm(dim=1), torch.ones(3))
        assert (half * full).sum(dim=1).min() > 0.98


def test_padding_does_not_change_a_text(encoder: DualEncoder, texts: list[str]) -> None:
    alone = encoder.processor.tokenize(texts[:1])
    padded = encoder.processor.tokenize(texts)
    with torch.no_grad():
        expected = encoder.encode_text(**alone)[0]
        with_mask = encoder.encode_text(**padded)[0]
        without_mask = encoder.encode_text(padded["input_ids"])[0]
    torch.testing.assert_close(with_mask, expected)
    # The small BERTs here pad with the end-of-text token, so without a mask their own end token is hidden as well.
    if encoder.config.model_type == "clip":
        torch.testing.assert_close(without_mask, expected)


def test_forward_gives_none_for_what_is_not_given(
    encoder: DualEncoder, pictures: list[Image.Image], texts: list[str]
) -> None:
    image_embeds, text_embeds = encode(encoder, pictures, None)
    assert text_embeds is None
    assert image_embeds.shape[0] == 3
    assert encode(encoder, None, texts)[0] is None


def test_save_and_load_give_the_same_embeddings(
    encoder: DualEncoder, pictures: list[Image.Image], texts: list[str], tmp_path: Path
) -> None:
    expected = encode(encoder, pictures, texts)
    encoder.save_pretrained(tmp_path)
    loaded = DualEncoder.from_pretrained(tmp_path)
    for found, wanted in zip(encode(loaded, pictures, texts), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert not loaded.training
    assert json.loads(loaded.config.to_json_string())["model_type"] == encoder.config.model_type


@pytest.mark.parametrize("missing", ["model.safetensors", "pytorch_model.bin"])
def test_either_weight_file_is_enough(
    encoder: DualEncoder, pictures: list[Image.Image], texts: list[str], tmp_path: Path, missing: str
) -> None:
    expected = encode(encoder, pictures, texts)
    encoder.save_pretrained(tmp_path)
    (tmp_path / missing).unlink()
    for found, wanted in zip(encode(DualEncoder.from_pretrained(tmp_path), pictures, texts), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_logit_scale_is_one_dimensional_inside_and_on_disk_as_in_transformers(
    encoder: DualEncoder, tmp_path: Path
) -> None:
    encoder.logit_scale.data.fill_(3.25)
    encoder.save_pretrained(tmp_path)
    assert encoder.logit_scale.shape == (1,)
    assert all(parameter.dim() > 0 for parameter in encoder.parameters())
    shape = (1,) if encoder.config.model_type == "siglip" else ()
    assert load_file(tmp_path / "model.safetensors")["logit_scale"].shape == shape
    assert DualEncoder.from_pretrained(tmp_path).logit_scale.item() == 3.25


def test_initial_logit_scale_is_clips_unless_the_family_has_a_bias(encoder: DualEncoder) -> None:
    if encoder.config.model_type == "siglip":
        assert encoder.logit_scale.item() == pytest.approx(SIGLIP_SCALE)
        assert encoder.logit_bias.item() == SIGLIP_BIAS
        return
    assert encoder.logit_bias is None
    assert encoder.logit_scale.item() == pytest.approx(math.log(1 / 0.07), abs=1e-3)


def test_logit_scale_that_is_no_number_is_refused(pair: DualEncoder) -> None:
    with pytest.raises(InputError, match="logit_scale is nan"):
        DualEncoder(pair.backend, pair.processor, logit_scale=math.nan)


@pytest.mark.parametrize("training", [True, False])
def test_gradient_checkpointing_keeps_the_gradients_and_less_memory(
    make_encoder: Callable[[], DualEncoder], pictures: list[Image.Image], texts: list[str], training: bool
) -> None:
    found = []
    for checkpointing in (False, True):
        encoder = make_encoder().train(training)
        if checkpointing:
            encoder.set_gradient_checkpointing()
        saved = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal saved
            saved += tensor.numel()
            return tensor

        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            embeds = encoder(**encoder.processor(images=pictures, texts=texts))
        sum((one.cumsum(dim=1) ** 2).sum() for one in embeds).backward()
        found.append((saved, {n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}))
    (everything, expected), (less, got) = found
    assert (less < 0.7 * everything) == training
    assert got.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_frozen_towers_stay_and_heads_and_scale_learn(
    encoder: DualEncoder, pictures: list[Image.Image], texts: list[str], step: Callable[..., None]
) -> None:
    encoder.set_trainable_layers(image=0, text=0)
    towers = (encoder.backend.image_tower, encoder.backend.text_tower)
    inside = {id(parameter) for tower in towers for parameter in tower.parameters()}
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    step(encoder, pictures, texts)
    named = dict(encoder.named_parameters())
    changed = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert not {name for name in changed if id(named[name]) in inside}
    heads = changed - {"logit_scale", "logit_bias"}
    assert all("head" in name or "projection" in name for name in heads)
    assert any("text_" in name for name in heads)
    assert any("vis" in name for name in heads)
    assert "logit_scale" in changed


def test_top_layer_alone_trains(
    encoder: DualEncoder, pictures: list[Image.Image], texts: list[str], step: Callable[..., None]
) -> None:
    encoder.set_trainable_layers(image=0, text=1)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    step(encoder, pictures, texts)
    changed = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert any(".1." in name for name in changed if "text_model.encoder" in name)
    assert not {
        name for name in changed if "text_model.embeddings" in name or ".layers.0." in name or ".layer.0." in name
    }


def test_whole_towers_train_when_asked(
    encoder: DualEncoder, pictures: list[Image.Image], texts: list[str], step: Callable[..., None]
) -> None:
    encoder.set_trainable_layers(image=len(encoder.backend.image_tower.blocks), text=3)
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    step(encoder, pictures, texts)
    without_gradient = [name for name, parameter in encoder.named_parameters() if parameter.grad is None]
    assert without_gradient == []


def test_frozen_layers_keep_dropout_off_in_train_mode(make_pair: Callable[..., DualEncoder], texts: list[str]) -> None:
    model = make_pair(text_trainable_layers=1).train()
    frozen, trained = model.backend.text_model.encoder.layer
    assert not any(module.training for module in frozen.modules())
    assert trained.training
    model.set_trainable_layers(text=0)
    tokens = model.processor.tokenize(texts)
    with torch.no_grad():
        torch.testing.assert_close(model.encode_text(**tokens), model.encode_text(**tokens), rtol=0, atol=0)


def test_minus_one_leaves_a_tower_as_it_is(pair: DualEncoder) -> None:
    pair.set_trainable_layers(text=2)
    pair.set_trainable_layers(image=0)
    assert (pair.backend.image_tower.trainable, pair.backend.text_tower.trainable) == (0, 2)


@pytest.mark.parametrize("layers", [4, -2])
def test_layers_that_a_tower_does_not_have_are_refused(encoder: DualEncoder, layers: int) -> None:
    with pytest.raises(InputError, match=rf"text tower cannot train {layers} layers.*0 \(frozen\) to 2, or 3"):
        encoder.set_trainable_layers(text=layers)


def test_batch_norm_statistics_stay_and_its_weights_learn(
    pair: DualEncoder, pictures: list[Image.Image], texts: list[str], step: Callable[..., None]
) -> None:
    norm = pair.backend.vision_model.conv_1x1.normalization
    mean, weight = norm.running_mean.clone(), norm.weight.clone()
    step(pair, pictures, texts)
    torch.testing.assert_close(norm.running_mean, mean, rtol=0, atol=0)
    assert not torch.equal(norm.weight, weight)


def test_embeddings_in_training_do_not_depend_on_the_batch(pair: DualEncoder, pictures: list[Image.Image]) -> None:
    pair.train()
    pixel_values = pair.processor(images=pictures)["pixel_values"]
    with torch.no_grad():
        together = pair.encode_image(pixel_values)
        apart = torch.cat([pair.encode_image(pixel_values[:1]), pair.encode_image(pixel_values[1:])])
    torch.testing.assert_close(together, apart)


def test_other_picture_size_is_kept_in_the_checkpoint(
    encoder: DualEncoder, pictures: list[Image.Image], tmp_path: Path
) -> None:
    encoder.save_pretrained(tmp_path / "own")
    larger = DualEncoder.from_pretrained(tmp_path / "own", image_size=48)
    larger.save_pretrained(tmp_path / "larger")
    again = DualEncoder.from_pretrained(tmp_path / "larger")
    assert again.processor.image_size == 48
    embeds = encode(again, pictures, None)[0]
    torch.testing.assert_close(embeds, encode(larger, pictures, None)[0])
    assert not torch.allclose(embeds, encode(encoder, pictures, None)[0], atol=1e-3)


def test_can_be_sent_to_another_process(encoder: DualEncoder, pictures: list[Image.Image], texts: list[str]) -> None:
    copy = pickle.loads(pickle.dumps(encoder))
    for found, wanted in zip(encode(copy, pictures, texts), encode(encoder, pictures, texts), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("model_type", ["bert", None])
def test_folder_of_another_model_type_is_named(tmp_path: Path, model_type: str | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(InputError, match=rf"model_type {model_type!r}.*clip.*it holds config.json"):
        DualEncoder.from_pretrained(tmp_path)


def test_folder_without_weights_is_named(encoder: DualEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    for name in ("model.safetensors", "pytorch_model.bin"):
        (tmp_path / name).unlink()
    with pytest.raises(InputError, match=tmp_path.name):
        DualEncoder.from_pretrained(tmp_path)


def test_truncated_weights_are_named(encoder: DualEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(InputError, match="damaged"):
        DualEncoder.from_pretrained(tmp_path)


def test_missing_weight_is_named(encoder: DualEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    state = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    name = next(key for key in state if key.startswith("text_model.embeddings"))
    del state[name]
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=name):
        DualEncoder.from_pretrained(tmp_path)


def test_weights_of_another_shape_are_refused(encoder: DualEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    at = config["text_config"] if encoder.config.model_type == "siglip" else config
    at["projection_size" if at is not config else "projection_dim"] += 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=tmp_path.name):
        DualEncoder.from_pretrained(tmp_path)


def test_folder_without_tokenizer_is_named(encoder: DualEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "spiece.model"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="tokenizer"):
        DualEncoder.from_pretrained(tmp_path)


def test_tower_output_and_head_are_the_embedding(
    encoder: DualEncoder, pictures: list[Image.Image], texts: list[str]
) -> None:
    inputs = encoder.processor(images=pictures, texts=texts)
    with torch.no_grad():
        images = encoder.project_image(encoder.image_tower_output(inputs["pixel_values"]))
        assert torch.equal(images, encoder.encode_image(inputs["pixel_values"]))
        words = (inputs["input_ids"], inputs["attention_mask"])
        assert torch.equal(encoder.project_text(encoder.text_tower_output(*words)), encoder.encode_text(*words))
