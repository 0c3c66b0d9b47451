"""Weights of OpenAI's layout, from a file or a folder, as a `DualEncoder`: the families `clip` and `chinese_clip`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel
from transformers.utils import logging as hf_logging

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends import BACKENDS
from easynlp_fashionklip.models.backends.clip import ClipBackend
from easynlp_fashionklip.models.checkpoint import CONFIG, SAFETENSORS, UNREADABLE, find_file, first_line
from easynlp_fashionklip.models.clip_tokenizer import MERGES, VOCABULARY, clip_tokenizer
from easynlp_fashionklip.models.conversion.activation import QUICK_GELU, Activation, activation_of
from easynlp_fashionklip.models.conversion.clip_map import chinese_clip_map, clip_map
from easynlp_fashionklip.models.conversion.clip_shape import (
    ClipShape,
    check_heads,
    chinese_clip_config,
    clip_config,
    shape_of,
)
from easynlp_fashionklip.models.conversion.open_clip_config import OpenClipConfig, read_open_clip_config
from easynlp_fashionklip.models.conversion.state_dict import Weights, read_weights
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.processor import PREPROCESSOR, ImagePreprocessing, Processor, load_tokenizer
from easynlp_fashionklip.models.storage import folder_for, telling_disk_errors

CHINESE_CLIP = "chinese_clip"
LOGIT_SCALE = 2.6592  # log(1 / 0.07), where CLIP begins: for the few files that leave it out
_TOKENIZERS = ("tokenizer.json", "vocab.json")
_EASYNLP_VOCABULARY = "vocab.txt"
_GZIP = b"\x1f\x8b"


def read_encoder(path: Path, *, activation: Activation = "auto", trust_pickle: bool = False) -> DualEncoder:
    """The encoder whose weights are in a file, in eval mode on the CPU, in full precision.

    The file holds a state dict in OpenAI's layout, plain, in a training checkpoint, or in a TorchScript archive. Its
    architecture is inferred from the shapes of the weights, and from an `open_clip_config.json` beside it if there is
    one; texts are cut by a tokenizer that lies beside it, or by CLIP's own.

    Args:
        path: .pt, .pth, .bin, .ckpt or .safetensors.
        activation: "gelu", "quick_gelu", or "auto"; see `activation.activation_of`.
        trust_pickle: run whatever program the file holds, if it holds more than weights.

    Raises:
        InputError: naming the file and what keeps it from being a CLIP.
    """
    weights = read_weights(path, trust_pickle=trust_pickle)
    config = read_open_clip_config(path.parent)
    shape = shape_of(weights.state, str(path))
    if config is not None:
        config.check(shape, str(path))
        shape = shape.with_heads(config.image_heads, config.text_heads)
    check_heads(shape, str(path), told=config is not None)
    if shape.chinese:
        return chinese_encoder(weights, shape, {})
    chosen = activation_of(weights, activation, config.activation if config else "")
    return clip_encoder(weights, shape, chosen, config)


def clip_encoder(
    weights: Weights, shape: ClipShape, activation: str, config: OpenClipConfig | None = None
) -> DualEncoder:
    """An encoder of the family `clip` out of weights in OpenAI's layout."""
    processor = _processor(weights.path, shape, config)
    state = _converted(weights, shape)
    return DualEncoder(ClipBackend(_clip_model(clip_config(shape, activation), state, weights.path)), processor).eval()


def _converted(weights: Weights, shape: ClipShape) -> dict[str, Tensor]:
    """The weights in transformers' layout and in full precision: training adds small steps that float16 would lose."""
    layers = shape.image.layers
    layout = chinese_clip_map(layers) if shape.chinese else clip_map(layers, shape.text.layers)
    try:
        converted = layout.convert(weights.state)
    except KeyError as error:
        raise InputError(
            f"{weights.path} holds {error.args[0]!r}, which a plain CLIP does not have; such a model is not supported."
        ) from error
    except (ValueError, RuntimeError) as error:  # a packed matrix that is not three
        raise InputError(f"{weights.path} is no whole CLIP ({first_line(error)}).") from error
    if converted.get("logit_scale", torch.zeros(())).numel() == 1:  # of one dimension in some of open_clip's
        converted["logit_scale"] = converted.get("logit_scale", torch.tensor(LOGIT_SCALE)).reshape(())
    return {key: value.float().contiguous() for key, value in converted.items()}


def _clip_model(config: CLIPConfig, state: dict[str, Tensor], path: Path) -> CLIPModel:
    with torch.device("meta"):
        expected = {key: value.shape for key, value in CLIPModel(config).state_dict().items()}
    check_whole(state, expected, path)
    bars = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()  # one bar for each reading of a local file would clutter the log
    try:
        model: CLIPModel = CLIPModel.from_pretrained(None, config=config, state_dict=dict(state))
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be loaded as a CLIP ({first_line(error)}).") from error
    finally:
        if bars:
            hf_logging.enable_progress_bar()
    return model.float()


def check_whole(state: Mapping[str, Tensor], expected: Mapping[str, torch.Size], path: Path) -> None:
    """Refuse weights, in transformers' layout, that are not exactly those of a model.

    Raises:
        InputError: naming the first that is missing, unknown or of another shape.
    """
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unknown:
        what = f"lacks {missing[0]!r}" if missing else f"has {unknown[0]!r}, which no such model has"
        raise InputError(f"{path} is not whole: it {what} (in transformers' layout); copy or download it again.")
    for key, shape in expected.items():
        if state[key].shape != shape:
            raise InputError(
                f"{path} is not whole: {key} (in transformers' layout) has the shape {tuple(state[key].shape)} where "
                f"{tuple(shape)} belongs; copy or download it again."
            )


def _processor(path: Path, shape: ClipShape, config: OpenClipConfig | None) -> Processor:
    tokenizer = _tokenizer(path.parent, shape, bool(config and config.own_words))
    pictures = config.preprocessing if config else ImagePreprocessing(shape.image.image_size)
    last = shape.text.vocabulary - 1
    if len(tokenizer) > last + 1:
        raise InputError(
            f"{path.parent} has a tokenizer of {len(tokenizer):,} words, and {path} knows {last + 1:,}; "
            "put the model's own tokenizer there."
        )
    if tokenizer.eos_token_id != last:
        raise InputError(
            f"{path.parent} has a tokenizer that ends texts with token {tokenizer.eos_token_id}, and {path} reads them "
            f"at token {last}, its last; put the model's own tokenizer there."
        )
    return Processor(pictures, tokenizer, shape.text.context_length)


def _tokenizer(folder: Path, shape: ClipShape, own_words: bool) -> Any:
    """The one beside the weights, else CLIP's."""
    length = shape.text.context_length
    if any(find_file(folder, name) for name in _TOKENIZERS):
        tokenizer = load_tokenizer(folder, clip_config(shape, QUICK_GELU))
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer
    if own_words or shape.text.vocabulary != VOCABULARY:
        raise InputError(
            f"{folder} has no tokenizer, and the model's {shape.text.vocabulary:,} words are not CLIP's; "
            "put its tokenizer.json there."
        )
    for name in (Path(MERGES.path).name, _EASYNLP_VOCABULARY):
        if _is_gzip(folder / name):
            return clip_tokenizer(length, folder / name)
    return clip_tokenizer(length)


def _is_gzip(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def chinese_encoder(weights: Weights, shape: ClipShape, bert: Mapping[str, Any]) -> DualEncoder:
    """An encoder of the family `chinese_clip`, by way of a folder in transformers' layout.

    Args:
        weights: in the layout of its authors, which is EasyNLP's too; `vocab.txt` lies beside the file.
        shape: of its towers.
        bert: what a configuration says of the text tower beyond its sizes.

    Raises:
        InputError: no backend for it is installed, or a weight or the vocabulary is missing.
    """
    folder = weights.path.parent
    if CHINESE_CLIP not in BACKENDS:
        raise InputError(f"{weights.path} is a Chinese-CLIP, which this version does not support.")
    if not (folder / _EASYNLP_VOCABULARY).is_file():
        raise InputError(f"{folder} has no {_EASYNLP_VOCABULARY}; put the vocabulary of the model's BERT there.")
    with folder_for(folder) as temporary:
        write_chinese_folder(temporary, weights, shape, bert)
        return DualEncoder.from_pretrained(temporary)


def write_chinese_folder(folder: Path, weights: Weights, shape: ClipShape, bert: Mapping[str, Any]) -> None:
    """Fill a folder with a Chinese-CLIP in transformers' layout, vocabulary included."""
    try:
        config = chinese_clip_config(shape, QUICK_GELU, bert)
    except Exception as error:  # versions of transformers differ in what they raise for a field of the wrong kind
        raise InputError(f"{weights.path.parent / CONFIG} does not describe a BERT ({first_line(error)}).") from error
    state = _converted(weights, shape)
    with telling_disk_errors():
        safetensors.torch.save_file(state, folder / SAFETENSORS, metadata={"format": "pt"})
    pictures = json.dumps(ImagePreprocessing(shape.image.image_size).to_dict())
    (folder / PREPROCESSOR).write_text(pictures, encoding="utf-8")
    shutil.copyfile(weights.path.parent / _EASYNLP_VOCABULARY, folder / _EASYNLP_VOCABULARY)
    (folder / CONFIG).write_text(config.to_json_string(), encoding="utf-8")
