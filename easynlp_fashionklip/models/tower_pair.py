"""A dual encoder of any two pretrained towers that transformers' AutoModel knows, with new projection heads.

`vision=PATH text=PATH` names them, or without blanks between them `vision=PATH,text=PATH`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, VisionTextDualEncoderConfig, VisionTextDualEncoderModel

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.clip import as_float32, read_model, refuse_missing
from easynlp_fashionklip.models.backends.vision_text import Pooling, VisionTextBackend
from easynlp_fashionklip.models.checkpoint import CONFIG, UNREADABLE, find_file, first_line, read_config
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.preprocessing import read_preprocessing
from easynlp_fashionklip.models.processor import Processor, load_tokenizer, text_limit

EXAMPLE = "'vision=google/vit-base-patch16-224 text=google-bert/bert-base-uncased'"
_TOWER = re.compile(r"(?:^|[\s,]+)(vision|text)=")
_INPUTS = {"vision": ("pixel_values", "pictures"), "text": ("input_ids", "texts")}
_FIRST_STATE = ("cls_token", "class_embedding")  # what parameters are called whose state stands for the whole picture


class Towers(NamedTuple):
    """Where the two come from: folders or hub names."""

    vision: str
    text: str


def parse_towers(name: str) -> Towers | None:
    """Read `vision=PATH text=PATH`; None for a name that is not of this kind.

    Raises:
        InputError: one of the two is missing or given twice, or something else is named.
    """
    if not name.startswith(("vision=", "text=")):
        return None
    parts = _TOWER.split(name)[1:]
    found = [(key, value.strip().strip("'\"")) for key, value in zip(parts[::2], parts[1::2], strict=True)]
    towers = dict(found)
    if sorted(key for key, _ in found) != ["text", "vision"] or not all(towers.values()):
        raise InputError(f"pretrained encoder {name!r} does not name one vision and one text model; write {EXAMPLE}.")
    return Towers(**towers)


def pair_of_towers(towers: Towers, *, image_size: int = 0, seed: int = 0) -> DualEncoder:
    """Put two pretrained towers together, in eval mode on the CPU.

    A tower of a dual encoder (CLIP, SigLIP) is taken out of it. A text model that sentence-transformers describes is
    pooled as it says, one whose pooler has no weights by the mean of its states; a vision model without a pooler by its
    class token, or without one by the mean.

    Args:
        towers: folders or hub names.
        image_size: side of the pictures in pixels; 0 takes the vision model's.
        seed: of the new heads.

    Raises:
        InputError: one cannot be read, or cannot be a tower.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backend = VisionTextBackend(_joined(*_vision_tower(towers.vision), *_text_tower(towers.text)))
    tokenizer = load_tokenizer(towers.text)
    preprocessing = read_preprocessing(towers.vision) or backend.default_preprocessing()
    if image_size:
        preprocessing = preprocessing.with_image_size(image_size)
    backend.check_tokenizer(tokenizer, towers.text)
    backend.check_image_size(preprocessing.image_size, towers.vision)
    limit = text_limit(tokenizer, backend.max_text_length, towers.text)
    return DualEncoder(backend, Processor(preprocessing, tokenizer, limit)).eval()


def _joined(vision: Any, vision_pooling: Pooling, text: Any, text_pooling: Pooling) -> Any:
    """Both towers in transformers' pair, in float32; their poolings in its config where they are not its own."""
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision.config, text.config)
    for key, pooling in (("vision_pooling", vision_pooling), ("text_pooling", text_pooling)):
        if pooling != "pooler":
            setattr(config, key, pooling)
    return as_float32(VisionTextDualEncoderModel(config=config, vision_model=vision, text_model=text))


def _vision_tower(source: str) -> tuple[Any, Pooling]:
    model, missing = _tower(source, "vision")
    _give_width(model.config, source)
    side = getattr(model.config, "image_size", None) or 64
    height, width = side if isinstance(side, list | tuple) else (side, side)
    outputs = _try(model, source, pixel_values=torch.zeros(1, 3, height, width))
    if getattr(outputs, "pooler_output", None) is not None and not missing:
        return model, "pooler"
    has_class_token = any(name.endswith(_FIRST_STATE) for name, _ in model.named_parameters())
    return model, "cls" if has_class_token else "mean"


def _text_tower(source: str) -> tuple[Any, Pooling]:
    model, missing = _tower(source, "text")
    described = _sentence_pooling(source)
    words = torch.zeros(1, 2, dtype=torch.long)
    outputs = _try(model, source, input_ids=words, attention_mask=torch.ones_like(words))
    pools = getattr(outputs, "pooler_output", None) is not None and not missing
    return model, described or ("pooler" if pools else "mean")


def _tower(source: str, part: str) -> tuple[Any, bool]:
    """The vision or text model of a folder or hub name, and whether its pooler has no weights there."""
    read_config(source)
    try:
        whole = AutoConfig.from_pretrained(source, trust_remote_code=False)
        config = getattr(whole, f"{part}_config", None) or whole
        if getattr(config, "is_encoder_decoder", False):
            raise ValueError("it is an encoder-decoder")
        if type(config) not in MODEL_MAPPING:
            raise ValueError(f"AutoModel has no class for a {config.model_type}")
        model, report = read_model(AutoModel, source, config=config, trust_remote_code=False)
    except (*UNREADABLE, ImportError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{part}={source}: its model_type cannot be a {part} tower ({first_line(error)}); write {EXAMPLE}, say."
        ) from error
    wanted, called = _INPUTS[part]
    if model.main_input_name != wanted:
        raise InputError(
            f"{part}={source} is a {type(model).__name__}, which does not take {called}; write {EXAMPLE}, say."
        )
    missing = sorted(report["missing_keys"])
    refuse_missing([key for key in missing if "pooler" not in key], type(model).__name__, source)
    return model.eval(), bool(missing)


def _try(model: nn.Module, source: str, **inputs: torch.Tensor) -> Any:
    """What a tower gives for a small input.

    Raises:
        InputError: it cannot be run with such inputs alone.
    """
    try:
        with torch.no_grad():
            return model(**inputs)
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        raise InputError(
            f"{source} is a {type(model).__name__}, which cannot be a tower ({first_line(error)}); write {EXAMPLE}, "
            "say."
        ) from error


def _give_width(config: Any, source: str) -> None:
    """Let convolutional models tell their width as transformers' pair asks for it: it is their last stage's."""
    if getattr(config, "hidden_size", None) is None and getattr(config, "hidden_sizes", None):
        config.hidden_size = config.hidden_sizes[-1]
    if getattr(config, "hidden_size", None) is None:
        raise InputError(
            f"vision={source}: its {CONFIG} has no hidden_size, without which transformers cannot put it into a pair; "
            "take a ViT, DINOv2, Swin, CLIP, SigLIP or ResNet."
        )


def _sentence_pooling(source: str) -> Pooling | None:
    """How sentence-transformers pools this model, where it says and we can."""
    path = find_file(source, str(Path("1_Pooling") / CONFIG))
    if path is None:
        return None
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({first_line(error)}); restore the file.") from error
    kinds: tuple[tuple[str, Pooling], ...] = (("pooling_mode_mean_tokens", "mean"), ("pooling_mode_cls_token", "cls"))
    chosen = [pooling for key, pooling in kinds if isinstance(described, dict) and described.get(key)]
    return chosen[0] if len(chosen) == 1 else None
