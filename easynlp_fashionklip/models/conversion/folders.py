"""Checkpoint folders: which are in transformers' layout, and how the others are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.checkpoint import CONFIG, PYTORCH_BIN, read_json
from easynlp_fashionklip.models.conversion.activation import QUICK_GELU, Activation, activation_of
from easynlp_fashionklip.models.conversion.clip_shape import ClipShape, check_heads, shape_of
from easynlp_fashionklip.models.conversion.easynlp_pair import is_easynlp_pair, read_easynlp_pair
from easynlp_fashionklip.models.conversion.open_clip_config import OPEN_CLIP_CONFIG
from easynlp_fashionklip.models.conversion.reading import chinese_encoder, clip_encoder, read_encoder
from easynlp_fashionklip.models.conversion.state_dict import read_weights
from easynlp_fashionklip.models.dual_encoder import DualEncoder

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
# In EasyNLP's configurations of these families the sizes lie flat; transformers has text_config and vision_config.
_FLAT = "vision_layers"
EASYNLP_OPEN_CLIP, EASYNLP_CHINESE_CLIP = "open_clip", "chinese_clip"
_BERT_FIELDS = ("attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "initializer_range")
_PREFERRED = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    PYTORCH_BIN,
)


def read_foreign_folder(
    folder: Path, *, activation: Activation = "auto", trust_pickle: bool = False
) -> DualEncoder | None:
    """The encoder in a folder that is not in transformers' layout; None if the folder is.

    Known are: folders of EasyNLP's CLIP application (open_clip, chinese_clip or huggingface_clip in config.json), of
    open_clip (open_clip_config.json), and folders without any configuration that hold one file of weights, as the
    archives of the FashionKLIP release do.

    Raises:
        InputError: naming what is missing, unknown or damaged.
    """
    config = read_json(folder, CONFIG)
    if config is not None:
        if config.get("model_type") in (EASYNLP_OPEN_CLIP, EASYNLP_CHINESE_CLIP) and _FLAT in config:
            return _read_easynlp(folder, config, activation, trust_pickle)
        if is_easynlp_pair(config):
            return read_easynlp_pair(folder, config, trust_pickle=trust_pickle)
        return None
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    preferred = [folder / name for name in _PREFERRED if folder / name in files]
    if (folder / OPEN_CLIP_CONFIG).is_file() and (preferred or files):
        return read_encoder((preferred or files)[0], activation=activation, trust_pickle=trust_pickle)
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise InputError(f"{folder} has no {CONFIG} and several files of weights ({names}); give one of the files.")
    return read_encoder(files[0], activation=activation, trust_pickle=trust_pickle) if files else None


def _read_easynlp(folder: Path, config: Mapping[str, Any], activation: Activation, trust_pickle: bool) -> DualEncoder:
    path = folder / PYTORCH_BIN
    if not path.is_file():
        raise InputError(f"{folder} has no {PYTORCH_BIN}; copy or download the folder again.")
    weights = read_weights(path, trust_pickle=trust_pickle)
    shape = shape_of(weights.state, str(path))
    if shape.chinese != (config["model_type"] == EASYNLP_CHINESE_CLIP):
        raise InputError(f"{folder}: {CONFIG} says {config['model_type']}, and {PYTORCH_BIN} holds another family.")
    shape = _with_their_heads(shape, config, folder)
    check_heads(shape, str(path))
    if shape.chinese:
        bert = {name: config[f"text_{name}"] for name in _BERT_FIELDS if f"text_{name}" in config}
        return chinese_encoder(weights, shape, bert)
    return clip_encoder(weights, shape, activation_of(weights, activation, QUICK_GELU))


def _with_their_heads(shape: ClipShape, config: Mapping[str, Any], folder: Path) -> ClipShape:
    name = "text_num_attention_heads" if shape.chinese else "transformer_heads"
    heads = config.get(name, 0)
    if not isinstance(heads, int):
        raise InputError(f"{folder / CONFIG}: {name}={heads!r} is no number; restore the file.")
    return shape.with_heads(0, heads)
