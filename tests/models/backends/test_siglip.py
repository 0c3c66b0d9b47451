"""The SigLIP family: pooling in two parts, padding as text, temperature and bias."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from model_families import LENGTH, SIDE, SIGLIP_SCALE, TOWER, small_siglip
from safetensors.torch import load_file
from transformers import SiglipConfig, SiglipModel

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.siglip import SiglipBackend
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained


@pytest.fixture
def siglip() -> DualEncoder:
    return small_siglip()


@pytest.fixture
def reference(siglip: DualEncoder, tmp_path: Path) -> SiglipModel:
    siglip.save_pretrained(tmp_path)
    return SiglipModel.from_pretrained(tmp_path).eval()


def test_a_mask_is_heeded_and_none_is_no_mask(siglip: DualEncoder, reference: SiglipModel) -> None:
    ids = torch.randint(0, 30, (3, 10), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 10, [1] * 7 + [0] * 3, [1] * 4 + [0] * 6])
    with torch.no_grad():
        for given in (None, mask):
            wanted = reference.get_text_features(input_ids=ids, attention_mask=given)
            wanted = F.normalize(getattr(wanted, "pooler_output", wanted), dim=-1)
            torch.testing.assert_close(siglip.encode_text(ids, given), wanted, atol=1e-5, rtol=0)
        unmasked, masked = siglip.encode_text(ids), siglip.encode_text(ids, mask)
    assert float((unmasked - masked).abs().max()) > 1e-3


def test_positions_are_interpolated_for_another_size(siglip: DualEncoder, reference: SiglipModel) -> None:
    pixels = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        wanted = reference.get_image_features(pixels, interpolate_pos_encoding=True)
        wanted = F.normalize(getattr(wanted, "pooler_output", wanted), dim=-1)
        torch.testing.assert_close(siglip.encode_image(pixels), wanted, atol=1e-5, rtol=0)


def test_prompts_are_padded_like_texts(siglip: DualEncoder) -> None:
    tokens = siglip.processor.tokenize(["a photo of red dress", "a photo of jeans", "x"])
    with torch.no_grad():
        torch.testing.assert_close(siglip.encode_prompts(**tokens), siglip.encode_text(**tokens), atol=1e-6, rtol=0)


def test_temperature_and_bias_come_back(siglip: DualEncoder, tmp_path: Path) -> None:
    assert siglip.logit_scale.item() == pytest.approx(SIGLIP_SCALE)
    with torch.no_grad():
        siglip.logit_scale.fill_(2.5)
        siglip.logit_bias.fill_(-3.25)
    siglip.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored["logit_bias"].shape == stored["logit_scale"].shape == (1,)
    again = load_pretrained(tmp_path)
    assert (again.logit_scale.item(), again.logit_bias.item()) == (2.5, -3.25)
    theirs = SiglipModel.from_pretrained(tmp_path)
    assert (theirs.logit_scale.item(), theirs.logit_bias.item()) == (2.5, -3.25)


def test_the_processor_reaches_a_machine_without_the_vocabulary(siglip: DualEncoder, tmp_path: Path) -> None:
    siglip.save_pretrained(tmp_path / "siglip")
    processor = load_pretrained(tmp_path / "siglip").processor.with_image_size(48)
    sent = pickle.dumps(processor)
    shutil.rmtree(tmp_path / "siglip")
    arrived = pickle.loads(pickle.dumps(pickle.loads(sent)))
    texts = ["a red dress", "blue slim jeans with five pockets " * 5]
    assert torch.equal(arrived.tokenize(texts)["input_ids"], siglip.processor.tokenize(texts)["input_ids"])
    assert (arrived.image_size, arrived.max_length, arrived.padded_length) == (48, LENGTH, LENGTH)
    arrived.save_pretrained(tmp_path, "Siglip")
    assert (tmp_path / "spiece.model").is_file()


def test_a_bias_that_is_no_number_is_refused(siglip: DualEncoder, tmp_path: Path) -> None:
    with torch.no_grad():
        siglip.logit_bias.fill_(float("nan"))
    siglip.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="logit_bias is nan"):
        load_pretrained(tmp_path)


def test_the_heads_are_no_part_of_the_towers(siglip: DualEncoder) -> None:
    siglip.set_trainable_layers(image=0, text=0)
    trained = {name for name, parameter in siglip.backend.model.named_parameters() if parameter.requires_grad}
    assert {name.rpartition(".")[0] for name in trained} == {
        "text_model.head",
        "vision_model.head.layernorm",
        "vision_model.head.mlp.fc1",
        "vision_model.head.mlp.fc2",
    }


def test_without_a_processor_file_pictures_are_prepared_as_for_siglip(
    siglip: DualEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    siglip.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    assert load_pretrained(tmp_path).processor.preprocessing == siglip.processor.preprocessing
    assert "as for Siglip" in caplog.text


@pytest.mark.parametrize(
    ("vision", "text", "message"),
    [
        ({"vision_use_head": False}, {"projection_size": 16}, "vision_use_head=False"),
        ({}, {"projection_size": 12}, "pictures in 16 dimensions and texts in 12"),
    ],
)
def test_what_is_no_dual_encoder_is_refused(vision: dict[str, Any], text: dict[str, Any], message: str) -> None:
    config = SiglipConfig(
        vision_config={"image_size": SIDE, "patch_size": 8} | TOWER | vision,
        text_config={"vocab_size": 50, "max_position_embeddings": LENGTH} | TOWER | text,
    )
    with pytest.raises(InputError, match=message):
        SiglipBackend(SiglipModel(config))


def test_naflex_is_refused_in_one_sentence(siglip: DualEncoder, tmp_path: Path) -> None:
    siglip.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"model_type": "siglip2"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"'siglip2'.*NaFlex.*take the SigLIP 2 checkpoint of one resolution"):
        load_pretrained(tmp_path)
