"""EasyNLP's `huggingface_clip`: a RoBERTa and CLIP's picture tower, joined by projections that have biases.

No model of transformers has such biases, so that these checkpoints are a family of their own here,
`easynlp-huggingface-clip`; their folders hold transformers' names and two biases more.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    CLIPVisionConfig,
    RobertaConfig,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends import BACKENDS
from easynlp_fashionklip.models.backends.clip import load_transformers_model
from easynlp_fashionklip.models.backends.vision_text import VisionTextBackend
from easynlp_fashionklip.models.checkpoint import CONFIG, PYTORCH_BIN, SAFETENSORS, first_line
from easynlp_fashionklip.models.conversion.key_map import KeyMap
from easynlp_fashionklip.models.conversion.reading import check_whole
from easynlp_fashionklip.models.conversion.state_dict import read_weights
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.processor import PREPROCESSOR, ImagePreprocessing
from easynlp_fashionklip.models.storage import folder_for, telling_disk_errors

MODEL_TYPE = "easynlp-huggingface-clip"
EASYNLP_PAIR = "huggingface_clip"
_VOCABULARY = "vocab.txt"
_LOGIT_SCALE = 2.6592
# What EasyNLP's configuration class fills in where the folder's config.json is silent.
_TEXT_DEFAULTS = {"pad_token_id": 1, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_KEYS = KeyMap(
    (
        ("text_encoder.", "text_model."),
        ("vision_encoder.vision_model.", "vision_model."),
        ("text_projection.", "text_projection."),
        ("vision_projection.", "visual_projection."),
        ("logit_scale", "logit_scale"),
    )
)


class EasyNlpPairConfig(VisionTextDualEncoderConfig):
    """transformers' configuration of a pair, under this family's name."""

    model_type = MODEL_TYPE


class EasyNlpPairModel(VisionTextDualEncoderModel):
    """transformers' pair, with biases in its projections."""

    config_class = EasyNlpPairConfig

    def __init__(self, config: Any = None, vision_model: Any = None, text_model: Any = None) -> None:
        super().__init__(config, vision_model, text_model)
        self.visual_projection = nn.Linear(self.vision_embed_dim, self.projection_dim)
        self.text_projection = nn.Linear(self.text_embed_dim, self.projection_dim)


class EasyNlpPairBackend(VisionTextBackend):
    """`VisionTextBackend` with biases; its words are BERT's."""

    model_type = MODEL_TYPE
    tokenizer_config = BertConfig()

    @classmethod
    def from_pretrained(cls, source: str | Path) -> EasyNlpPairBackend:
        """Load a folder that `save_pretrained` wrote; see `Backend.from_pretrained`."""
        return cls(load_transformers_model(EasyNlpPairModel, source))


BACKENDS.setdefault(MODEL_TYPE, EasyNlpPairBackend)


def is_easynlp_pair(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of EasyNLP's `huggingface_clip`; EasyNLP itself saves it as `clip`."""
    text = config.get("text_config")
    named = config.get("model_type") == EASYNLP_PAIR
    unnamed = config.get("model_type") in (None, "clip") and isinstance(text, Mapping) and "type_vocab_size" in text
    return named or unnamed


def read_easynlp_pair(folder: Path, config: Mapping[str, Any], *, trust_pickle: bool = False) -> DualEncoder:
    """The encoder in a folder of EasyNLP's CLIP application with RoBERTa and CLIP's picture tower.

    Raises:
        InputError: naming what is missing or damaged.
    """
    for name in (PYTORCH_BIN, _VOCABULARY):
        if not (folder / name).is_file():
            raise InputError(f"{folder} has no {name}; copy or download the folder again.")
    with folder_for(folder) as temporary:
        write_pair_folder(temporary, folder, config, trust_pickle=trust_pickle)
        return DualEncoder.from_pretrained(temporary)


def write_pair_folder(target: Path, folder: Path, config: Mapping[str, Any], *, trust_pickle: bool = False) -> None:
    """Fill `target` with the family's own folder."""
    path = folder / PYTORCH_BIN
    state = _renamed(read_weights(path, trust_pickle=trust_pickle).state, path)
    ours = _config(config, state, folder)
    with torch.device("meta"):
        expected = {key: value.shape for key, value in EasyNlpPairModel(ours).state_dict().items()}
    nested = "vision_model.vision_model."
    if any(key.startswith(nested) for key in expected):  # as in transformers before 5
        state = {key.replace("vision_model.", nested, 1): value for key, value in state.items()}
    check_whole(state, expected, path)
    with telling_disk_errors():
        safetensors.torch.save_file(state, target / SAFETENSORS, metadata={"format": "pt"})
    vision: Any = ours.vision_config
    pictures = ImagePreprocessing(vision.image_size).to_dict()
    (target / PREPROCESSOR).write_text(json.dumps(pictures), encoding="utf-8")
    shutil.copyfile(folder / _VOCABULARY, target / _VOCABULARY)
    (target / CONFIG).write_text(ours.to_json_string(), encoding="utf-8")


def _renamed(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    kept = {key: value for key, value in state.items() if not key.endswith("position_ids")}
    try:
        renamed = _KEYS.rename(kept)
    except KeyError as error:
        raise InputError(f"{path} holds {error.args[0]!r}, which EasyNLP's huggingface_clip does not have.") from error
    scale = renamed.get("logit_scale", torch.tensor(_LOGIT_SCALE))
    if scale.numel() != 1:
        raise InputError(f"{path} is damaged (logit_scale is not one number); copy or download it again.")
    renamed["logit_scale"] = scale.reshape(())
    return {key: value.float().contiguous() for key, value in renamed.items()}


def _config(config: Mapping[str, Any], state: Mapping[str, Tensor], folder: Path) -> EasyNlpPairConfig:
    try:
        text = {key: value for key, value in config["text_config"].items() if key != "model_type"}
        vision = {key: value for key, value in config["vision_config"].items() if key != "model_type"}
        ours = EasyNlpPairConfig(
            text_config=RobertaConfig(**(_TEXT_DEFAULTS | text)).to_dict(),
            vision_config=CLIPVisionConfig(**vision).to_dict(),
            projection_dim=len(state["text_projection.weight"]),
        )
    except Exception as error:  # versions of transformers differ in what they raise for a field of the wrong kind
        raise InputError(
            f"{folder / CONFIG} does not describe EasyNLP's {EASYNLP_PAIR} ({first_line(error)})."
        ) from error
    ours.architectures = [EasyNlpPairModel.__name__]
    return ours
