"""The VisionTextDualEncoder family gives what transformers gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import BertConfig, RobertaConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel, ViTConfig

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.vision_text import VisionTextBackend
from easynlp_fashionklip.models.dual_encoder import DualEncoder

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def build(text: str, **vision: Any) -> VisionTextDualEncoderModel:
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        ViTConfig(image_size=32, patch_size=8, **SMALL, **vision), text, projection_dim=8
    )
    return VisionTextDualEncoderModel(config).eval()


def test_equals_transformers(
    vision_text: DualEncoder, pictures: list[Image.Image], texts: list[str], tmp_path: Path
) -> None:
    vision_text.save_pretrained(tmp_path)
    reference = VisionTextDualEncoderModel.from_pretrained(tmp_path).eval()
    inputs = vision_text.processor(images=pictures, texts=texts)
    with torch.no_grad():
        outputs = reference(**inputs)
        image_embeds, text_embeds = vision_text(**inputs)
    torch.testing.assert_close(image_embeds, outputs.image_embeds)
    torch.testing.assert_close(text_embeds, outputs.text_embeds)


def test_padding_is_masked_without_a_mask() -> None:
    backend = VisionTextBackend(build(BertConfig(vocab_size=50, max_position_embeddings=32, pad_token_id=0, **SMALL)))
    with torch.no_grad():
        alone = backend.text_features(torch.tensor([[3, 4, 5]]), None)
        padded = backend.text_features(torch.tensor([[3, 4, 5, 0, 0]]), None)
    torch.testing.assert_close(alone, padded)


def test_positions_of_roberta_start_after_the_padding_id() -> None:
    model = build(RobertaConfig(vocab_size=50, max_position_embeddings=34, pad_token_id=1, **SMALL))
    backend = VisionTextBackend(model)
    assert backend.max_text_length == 32
    with torch.no_grad():
        assert backend.text_features(torch.full((1, 32), 7), None).shape == (1, 8)


def test_size_that_the_vision_model_cannot_take_is_refused(vision_text: DualEncoder) -> None:
    vision_text.backend._interpolates = False
    with pytest.raises(InputError, match=r"32 px only, not \(40, 40\)"):
        vision_text.encode_image(torch.zeros(1, 3, 40, 40))
