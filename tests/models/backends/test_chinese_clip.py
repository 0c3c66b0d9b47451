"""The Chinese CLIP family: BERT's [CLS] state, masked padding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from model_families import small_chinese_clip
from transformers import ChineseCLIPModel

from easynlp_fashionklip.models.dual_encoder import DualEncoder

TEXTS = ["红色连衣裙", "短袖圆领 t-shirt", "blue jeans", "红"]


@pytest.fixture
def chinese() -> DualEncoder:
    return small_chinese_clip()


def test_chinese_texts_are_read_by_character_and_equal_transformers(chinese: DualEncoder, tmp_path: Path) -> None:
    chinese.save_pretrained(tmp_path)
    reference = ChineseCLIPModel.from_pretrained(tmp_path).eval()
    tokens = chinese.processor.tokenize(TEXTS)
    assert tokens["attention_mask"].sum(dim=1)[0] == len(TEXTS[0]) + 2
    assert chinese.processor.tokenizer.unk_token_id not in tokens["input_ids"][0]
    with torch.no_grad():
        wanted = reference.get_text_features(**tokens)
        wanted = F.normalize(getattr(wanted, "pooler_output", wanted), dim=-1)
        torch.testing.assert_close(chinese.encode_text(**tokens), wanted, atol=1e-5, rtol=0)


def test_padding_is_masked_without_a_mask(chinese: DualEncoder) -> None:
    tokens = chinese.processor.tokenize(TEXTS)
    with torch.no_grad():
        expected = chinese.encode_text(**tokens)
        torch.testing.assert_close(chinese.encode_text(tokens["input_ids"]), expected)
        torch.testing.assert_close(chinese.encode_text(**chinese.processor.tokenize(TEXTS[:1])), expected[:1])


def test_prompts_take_no_trees(chinese: DualEncoder) -> None:
    tokens = chinese.processor.tokenize(TEXTS * 3)
    with torch.no_grad():
        torch.testing.assert_close(chinese.encode_prompts(**tokens), chinese.encode_text(**tokens), atol=1e-5, rtol=0)
