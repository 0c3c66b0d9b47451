"""The zoo's encoders that are put together in code: `starter` from packages, `tiny` from a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from transformers import BertConfig, CLIPConfig, CLIPModel, MobileNetV2Config

from easynlp_fashionklip.models.backends.clip import ClipBackend
from easynlp_fashionklip.models.backends.pair import PairBackend, PairConfig
from easynlp_fashionklip.models.byte_tokenizer import BOS_ID, EOS_ID, VOCABULARY_SIZE, byte_tokenizer
from easynlp_fashionklip.models.checkpoint import CONFIG, read_json, read_tensor_file
from easynlp_fashionklip.models.conversion import TONYLINS_MOBILENET_V2
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.packaged import locate_file
from easynlp_fashionklip.models.processor import Processor, load_tokenizer
from easynlp_fashionklip.models.zoo.records import MOBILENET_FILE, STARTER, TINY, ZooModel


def build_starter(record: ZooModel) -> DualEncoder:
    """MobileNetV2 and MiniLM out of their packages, with new heads from torch's generator.

    Of MiniLM the upper two layers train: docs/BENCHMARKS.md says what this buys.
    """
    paths = {Path(file.path).name: locate_file(file) for file in record.files}
    minilm = paths["model.safetensors"].parent
    vision = MobileNetV2Config(tf_padding=False, layer_norm_eps=1e-5, image_size=record.preprocessing.image_size)
    text = BertConfig.from_dict(read_json(minilm, CONFIG) or {})
    backend = PairBackend(PairConfig(vision=vision.to_dict(), text=text.to_dict(), text_trainable_layers=2))
    mobilenet = read_tensor_file(paths[Path(MOBILENET_FILE.path).name])
    backend.vision_model.load_state_dict(TONYLINS_MOBILENET_V2.rename(mobilenet))
    bert = {
        key: value
        for key, value in read_tensor_file(paths["model.safetensors"]).items()
        if not key.startswith("pooler.") and not key.endswith("position_ids")
    }
    backend.text_model.load_state_dict(bert)
    processor = Processor(record.preprocessing, load_tokenizer(minilm), record.max_length)
    return DualEncoder(backend, processor)


def build_tiny(record: ZooModel) -> DualEncoder:
    """A CLIP of two layers, its weights from torch's generator."""
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": VOCABULARY_SIZE, "max_position_embeddings": record.max_length} | tower
    text |= {"bos_token_id": BOS_ID, "eos_token_id": EOS_ID, "pad_token_id": EOS_ID}
    vision = {"image_size": record.preprocessing.image_size, "patch_size": 8} | tower
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)
    config.architectures = [CLIPModel.__name__]
    processor = Processor(record.preprocessing, byte_tokenizer(record.max_length), record.max_length)
    return DualEncoder(ClipBackend(CLIPModel(config)), processor)


BUILDERS: dict[str, Callable[[ZooModel], DualEncoder]] = {STARTER.name: build_starter, TINY.name: build_tiny}
