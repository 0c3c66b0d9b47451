"""Small encoders of each family, and `tiny` exported once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
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

_LAYERS = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_BERT = {"vocab_size": VOCABULARY_SIZE, "max_position_embeddings": 64, "pad_token_id": EOS_ID} | _LAYERS


def small_pair() -> DualEncoder:
    torch.manual_seed(0)
    vision = MobileNetV2Config(depth_multiplier=0.25, tf_padding=False, layer_norm_eps=1e-5, image_size=32)
    backend = PairBackend(PairConfig(vision=vision.to_dict(), text=BertConfig(**_BERT).to_dict(), projection_dim=8))
    for module in backend.vision_model.modules():
        if isinstance(module, torch.nn.Conv2d):  # with transformers' own weights all pictures look alike
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_in")
    return DualEncoder(backend, Processor(ImagePreprocessing(32, resize_mode="pad"), byte_tokenizer(24), 24)).eval()


def small_vision_text() -> DualEncoder:
    torch.manual_seed(0)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        ViTConfig(image_size=32, patch_size=8, **_LAYERS), BertConfig(**_BERT), projection_dim=8
    )
    processor = Processor(ImagePreprocessing(32, resize_mode="squash"), byte_tokenizer(24), 24)
    return DualEncoder(VisionTextBackend(VisionTextDualEncoderModel(config)), processor).eval()


FAMILIES: dict[str, Callable[[], DualEncoder]] = {
    "clip": lambda: load_pretrained("tiny"),
    "vision-text-dual-encoder": small_vision_text,
    "fashionklip-pair": small_pair,
}


@pytest.fixture(scope="session", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> DualEncoder:
    """A small encoder of each family in turn; tests must not change it."""
    return FAMILIES[request.param]()


@pytest.fixture(scope="session")
def tiny() -> DualEncoder:
    """Tests must not change it."""
    return load_pretrained("tiny")


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[DualEncoder], Path]:
    """An encoder of a family as ONNX, exported once in a session; tests must not change the folder."""
    pytest.importorskip("onnxruntime")
    from easynlp_fashionklip.inference.onnx_export import export_onnx

    folders: dict[str, Path] = {}

    def folder_of(model: DualEncoder) -> Path:
        kind = model.config.model_type
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp("exported") / "onnx"
            export_onnx(model, folders[kind])
        return folders[kind]

    return folder_of


@pytest.fixture(scope="session")
def exported(tiny: DualEncoder, export: Callable[[DualEncoder], Path]) -> Path:
    """`tiny` as ONNX; tests must not change the folder."""
    return export(tiny)
