"""`easynlp --app_name=fashionklip` with checkpoints of other families than CLIP, from folder to saved folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_families import BERT, SIGLIP_BIAS, VISION, awake, bert_tokenizer, small_chinese_clip, small_siglip
from transformers import (
    BertConfig,
    BertModel,
    ChineseCLIPModel,
    SiglipModel,
    VisionTextDualEncoderModel,
    ViTConfig,
    ViTModel,
)

Run = Callable[..., Any]


@pytest.fixture
def train(catalogue: Path, tmp_path: Path, easynlp_here: Run, arguments: Run) -> Run:
    """One epoch of two batches from an encoder; returns the folder."""

    def run(encoder: str, *settings: str) -> Path:
        folder = tmp_path / "out"
        parameters = " ".join([f"pretrain_model_name_or_path={encoder}", "min_frequency=1 precision=fp32", *settings])
        numbers = ("--learning_rate=1e-3", "--epoch_num=1", "--micro_batch_size=16", "--data_threads=0")
        table = str(catalogue / "train.csv")
        argv = arguments("train", table, f"--checkpoint_dir={folder}", *numbers, parameters=parameters)
        outcome = easynlp_here(argv)
        assert outcome.code == 0, outcome.err
        return folder

    return run


def test_siglip_goes_on_with_its_own_loss(train: Run, tmp_path: Path) -> None:
    small_siglip().save_pretrained(tmp_path / "siglip")
    folder = train(str(tmp_path / "siglip"), "itc_loss=sigmoid concept_text_weight=0")
    theirs = SiglipModel.from_pretrained(folder)
    assert theirs.logit_bias.item() != SIGLIP_BIAS
    assert theirs.logit_bias.item() == pytest.approx(SIGLIP_BIAS, abs=0.1)
    text = (folder / "README.md").read_text()
    assert "SiglipModel.from_pretrained(" in text and "ITC (pairwise sigmoid)" in text


def test_chinese_clip(train: Run, tmp_path: Path) -> None:
    small_chinese_clip().save_pretrained(tmp_path / "chinese")
    before = ChineseCLIPModel.from_pretrained(tmp_path / "chinese").state_dict()
    after = ChineseCLIPModel.from_pretrained(train(str(tmp_path / "chinese"))).state_dict()
    changed = {key.split(".")[0] for key, value in after.items() if not torch.equal(value, before[key])}
    assert changed == {"vision_model", "text_model", "visual_projection", "text_projection", "logit_scale"}


@pytest.mark.parametrize("name", ['"vision={vision} text={text}"', "vision={vision},text={text}"])
def test_two_towers(train: Run, tmp_path: Path, name: str) -> None:
    awake(ViTModel(ViTConfig(**VISION))).save_pretrained(tmp_path / "a vit" if '"' not in name else tmp_path / "vit")
    vision = "vit" if '"' in name else '"a vit"'
    awake(BertModel(BertConfig(**(BERT | {"vocab_size": len(bert_tokenizer()), "pad_token_id": 0})))).save_pretrained(
        tmp_path / "bert"
    )
    bert_tokenizer().save_pretrained(tmp_path / "bert")
    folder = train(name.format(vision=f"{tmp_path}/{vision}", text=tmp_path / "bert"), "cva=false image_size=32")
    VisionTextDualEncoderModel.from_pretrained(folder)
    assert "picture tower: not stated" in (folder / "README.md").read_text()
