"""The CLIP family is transformers' CLIP, number for number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, CLIPModel

from easynlp_fashionklip.models.backends.clip import ClipBackend
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained


def pooled(outputs: Any) -> Tensor:
    return outputs if isinstance(outputs, torch.Tensor) else outputs.pooler_output


@pytest.fixture
def folder(clip: DualEncoder, tmp_path: Path) -> Path:
    clip.logit_scale.data.fill_(4.0)
    clip.save_pretrained(tmp_path)
    return tmp_path


def test_saved_folder_is_a_plain_clip_folder(
    clip: DualEncoder, folder: Path, pictures: list[Image.Image], texts: list[str]
) -> None:
    reference = CLIPModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    assert torch.equal(tokens["input_ids"], clip.processor.tokenize(texts)["input_ids"])
    pixel_values = clip.processor(images=pictures)["pixel_values"]
    with torch.no_grad():
        images = F.normalize(pooled(reference.get_image_features(pixel_values)), dim=-1)
        words = F.normalize(pooled(reference.get_text_features(**tokens)), dim=-1)
        torch.testing.assert_close(clip.encode_image(pixel_values), images)
        torch.testing.assert_close(clip.encode_text(**tokens), words)
    assert reference.logit_scale.item() == 4.0


def test_folder_written_by_transformers_loads(
    folder: Path, clip: DualEncoder, pictures: list[Image.Image], texts: list[str], tmp_path: Path
) -> None:
    other = tmp_path / "theirs"
    CLIPModel.from_pretrained(folder).half().save_pretrained(other)
    clip.processor.save_pretrained(other)
    loaded = DualEncoder.from_pretrained(other)
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    inputs = clip.processor(images=pictures, texts=texts)
    with torch.no_grad():
        for found, wanted in zip(loaded(**inputs), clip(**inputs), strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=5e-3)
    loaded.save_pretrained(tmp_path / "again")
    assert CLIPModel.from_pretrained(tmp_path / "again").dtype == torch.float32


def test_old_checkpoints_are_pooled_at_the_highest_token(clip: DualEncoder) -> None:
    # Checkpoints from before transformers 4.31 say eos_token_id=2, and their end token is the largest id.
    config = clip.config
    config.text_config.eos_token_id = 2
    torch.manual_seed(0)
    model = CLIPModel(config).eval()
    wanted = pooled(model.get_text_features(torch.tensor([[256, 5, 7, 257, 9]])))
    backend = ClipBackend(model)
    torch.testing.assert_close(backend.text_features(torch.tensor([[256, 5, 7, 257, 9]]), None), wanted)
    torch.testing.assert_close(backend.text_features(torch.tensor([[256, 5, 7, 257]]), None), wanted)


def test_positions_are_interpolated_for_another_size(clip: DualEncoder, pictures: list[Image.Image]) -> None:
    reference = load_pretrained("tiny").backend
    reference.model.logit_scale = torch.nn.Parameter(torch.tensor(1.0))
    pixel_values = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        wanted = pooled(reference.model.get_image_features(pixel_values, interpolate_pos_encoding=True))
        torch.testing.assert_close(clip.encode_image(pixel_values), F.normalize(wanted, dim=-1))


def test_architecture_is_in_the_config(folder: Path) -> None:
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["CLIPModel"]
