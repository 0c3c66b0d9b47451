"""Small encoders of every family with random weights, and tokenizers of every kind made in code: no hub is asked."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import (
    BertConfig,
    BertTokenizer,
    ChineseCLIPConfig,
    ChineseCLIPModel,
    MobileNetV2Config,
    SiglipConfig,
    SiglipModel,
    SiglipTokenizer,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    ViTConfig,
)

from easynlp_fashionklip.models.backends.chinese_clip import ChineseClipBackend
from easynlp_fashionklip.models.backends.pair import PairBackend, PairConfig
from easynlp_fashionklip.models.backends.siglip import SiglipBackend
from easynlp_fashionklip.models.backends.vision_text import VisionTextBackend
from easynlp_fashionklip.models.byte_tokenizer import EOS_ID, VOCABULARY_SIZE, byte_tokenizer
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.processor import ImagePreprocessing, Processor
from easynlp_fashionklip.models.zoo import load_pretrained

TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SIDE, PATCH, LENGTH = 32, 8, 24
BERT = {"vocab_size": VOCABULARY_SIZE, "max_position_embeddings": 64, "pad_token_id": EOS_ID} | TOWER
VISION = {"image_size": SIDE, "patch_size": PATCH} | TOWER
SIGLIP_SCALE, SIGLIP_BIAS = math.log(117.0), -12.5

SENTENCES = (
    "a red t-shirt with short sleeves and a v-neck",
    "blue slim jeans with five pockets in cotton blend",
    "long striped dress in white, 3/4-length sleeves",
    "men's buffed leather jacket in black",
    "红色连衣裙 短袖 圆领",
)
_FOLDER = tempfile.TemporaryDirectory(prefix="tokenizers-")  # gone with the process


@cache
def sentencepiece_file() -> Path:
    """A small unigram model such as SigLIP's: `</s>` is 1, `<unk>` 2, no token that begins a text."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=written,
        vocab_size=360,
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = Path(_FOLDER.name) / "spiece.model"
    path.write_bytes(written.getvalue())
    return path


def siglip_tokenizer(max_length: int = LENGTH) -> SiglipTokenizer:
    return SiglipTokenizer(str(sentencepiece_file()), model_max_length=max_length)


@cache
def bert_folder() -> Path:
    """A WordPiece vocabulary of letters, their continuations and the Chinese characters of SENTENCES."""
    folder = Path(_FOLDER.name) / "bert"
    folder.mkdir()
    characters = sorted({char for text in SENTENCES for char in text.lower() if not char.isspace()})
    letters = [f"##{char}" for char in characters if char.isascii()]
    words = ["red", "dress", "jeans", "shirt", "##s"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *words, *letters]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(tokens)) + "\n", encoding="utf-8")
    return folder


def bert_tokenizer(max_length: int = LENGTH) -> Any:
    return BertTokenizer.from_pretrained(bert_folder(), model_max_length=max_length)


def awake(model: torch.nn.Module) -> torch.nn.Module:
    """The model with larger random weights: transformers' own let every input fade to the same embedding."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def small_clip() -> DualEncoder:
    return load_pretrained("tiny")


def small_siglip() -> DualEncoder:
    torch.manual_seed(0)
    tokenizer = siglip_tokenizer()
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": LENGTH, "projection_size": 16} | TOWER
    model = awake(SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)))
    model.config.architectures = ["SiglipModel"]
    with torch.no_grad():
        model.logit_scale.fill_(SIGLIP_SCALE)
        model.logit_bias.fill_(SIGLIP_BIAS)
    backend = SiglipBackend(model)
    return DualEncoder(backend, Processor(backend.default_preprocessing(), tokenizer, LENGTH, pads_texts=True)).eval()


def small_chinese_clip() -> DualEncoder:
    torch.manual_seed(0)
    tokenizer = bert_tokenizer()
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 64, "pad_token_id": 0} | TOWER
    config = ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)
    model = awake(ChineseCLIPModel(config))
    model.config.architectures = ["ChineseCLIPModel"]
    with torch.no_grad():
        model.logit_scale.fill_(math.log(1 / 0.07))
    return DualEncoder(ChineseClipBackend(model), Processor(ImagePreprocessing(SIDE), tokenizer, LENGTH)).eval()


def small_pair(**settings: object) -> DualEncoder:
    torch.manual_seed(0)
    vision = MobileNetV2Config(depth_multiplier=0.25, tf_padding=False, layer_norm_eps=1e-5, image_size=SIDE)
    config = PairConfig(vision=vision.to_dict(), text=BertConfig(**BERT).to_dict(), projection_dim=8, **settings)
    processor = Processor(ImagePreprocessing(SIDE, resize_mode="pad"), byte_tokenizer(LENGTH), LENGTH)
    backend = PairBackend(config)
    for module in backend.vision_model.modules():
        # transformers' own small random weights let every picture fade to the same embedding.
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_in")
    return DualEncoder(backend, processor).eval()


def small_vision_text() -> DualEncoder:
    torch.manual_seed(0)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        ViTConfig(**VISION), BertConfig(**BERT), projection_dim=8
    )
    processor = Processor(ImagePreprocessing(SIDE, resize_mode="squash"), byte_tokenizer(LENGTH), LENGTH)
    model = awake(VisionTextDualEncoderModel(config))
    model.config.architectures = ["VisionTextDualEncoderModel"]
    with torch.no_grad():
        model.logit_scale.fill_(math.log(1 / 0.07))
    return DualEncoder(VisionTextBackend(model), processor).eval()


FAMILIES: dict[str, Callable[[], DualEncoder]] = {
    "clip": small_clip,
    "siglip": small_siglip,
    "chinese_clip": small_chinese_clip,
    "vision-text-dual-encoder": small_vision_text,
    "fashionklip-pair": small_pair,
}
