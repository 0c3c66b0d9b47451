"""An encoder of the family `clip` in other programs' formats: open_clip's folder or file, the release's checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.clip import ClipBackend
from easynlp_fashionklip.models.clip_tokenizer import VOCABULARY
from easynlp_fashionklip.models.conversion.activation import GELU, METADATA, QUICK_GELU
from easynlp_fashionklip.models.conversion.clip_map import clip_map
from easynlp_fashionklip.models.conversion.clip_shape import HEAD_WIDTH, ClipShape, ImageTower, TextTower
from easynlp_fashionklip.models.conversion.open_clip_config import OPEN_CLIP_CONFIG, open_clip_config
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.storage import telling_disk_errors

OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
_EPS = 1e-5
_LEGACY_EOS = 2  # configurations from before transformers 4.31; the text is then pooled at its highest token


def openai_state(model: DualEncoder) -> dict[str, Tensor]:
    """The weights of a `clip` encoder in OpenAI's layout, in full precision.

    Raises:
        InputError: it is of another family, or computes something that OpenAI's CLIP does not.
    """
    backend = _clip_backend(model)
    vision, text = backend.config.vision_config, backend.config.text_config
    tensors = backend.checkpoint_tensors() | {"logit_scale": model.logit_scale.detach().reshape(())}
    plain = {key: value for key, value in tensors.items() if not key.endswith("position_ids")}
    restored = clip_map(vision.num_hidden_layers, text.num_hidden_layers).restore(plain)
    return {key: value.detach().cpu().contiguous() for key, value in restored.items()}


def _clip_backend(model: DualEncoder) -> ClipBackend:
    backend = model.backend
    if not isinstance(backend, ClipBackend):
        raise InputError(
            f"a model of the family {model.config.model_type} has no counterpart in open_clip's plain models and the "
            "release; convert to hf or onnx."
        )
    vision, text = backend.config.vision_config, backend.config.text_config
    checks = {
        "its towers have different activations": vision.hidden_act == text.hidden_act,
        f"its activation is {vision.hidden_act}": vision.hidden_act in (GELU, QUICK_GELU),
        "its layer norms have another epsilon": vision.layer_norm_eps == text.layer_norm_eps == _EPS,
        "its end-of-text token is not the last word": text.eos_token_id in (_LEGACY_EOS, text.vocab_size - 1),
    }
    for reason, holds in checks.items():
        if not holds:
            raise InputError(f"this model has no counterpart in OpenAI's layout: {reason}; convert to hf or onnx.")
    return backend


def shape_of_encoder(model: DualEncoder) -> ClipShape:
    """The architecture of a `clip` encoder."""
    config = _clip_backend(model).config
    vision, text = config.vision_config, config.text_config
    return ClipShape(
        ImageTower(vision.image_size, vision.patch_size, *_sizes(vision)),
        TextTower(text.max_position_embeddings, text.vocab_size, *_sizes(text)),
        config.projection_dim,
    )


def _sizes(tower: Any) -> tuple[int, int, int, int]:
    return tower.hidden_size, tower.num_hidden_layers, tower.num_attention_heads, tower.intermediate_size


def _activation(model: DualEncoder) -> str:
    return str(_clip_backend(model).config.vision_config.hidden_act)


def write_open_clip_folder(model: DualEncoder, folder: Path) -> None:
    """Fill a folder with what open_clip loads as `local-dir:<folder>`: configuration, weights, tokenizer.

    Raises:
        InputError: open_clip has no such model.
        OSError: a file cannot be written.
    """
    shape, preprocessing = shape_of_encoder(model), model.processor.preprocessing
    if preprocessing.image_size != shape.image.image_size:
        raise InputError(
            f"open_clip prepares pictures of the model's own {shape.image.image_size} px alone, and this one is set to "
            f"{preprocessing.image_size}; load it with image_size=0."
        )
    config = open_clip_config(shape, _activation(model), preprocessing)
    save_safetensors(openai_state(model), folder / OPEN_CLIP_WEIGHTS, _activation(model))
    model.processor.tokenizer.save_pretrained(str(folder))
    (folder / OPEN_CLIP_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def save_safetensors(state: dict[str, Tensor], path: Path, activation: str) -> None:
    """One file of weights; its metadata says the activation, which weights do not show."""
    with telling_disk_errors():
        safetensors.torch.save_file(state, path, metadata={"format": "pt", METADATA: activation})


def write_open_clip_file(model: DualEncoder, path: Path) -> None:
    """Write the weights alone, as a state dict in a .pt or .safetensors file.

    Raises:
        InputError: open_clip has no such model, or its heads or words are not those of CLIP.
        OSError: the file cannot be written.
    """
    _require_plain(model, path)
    state = openai_state(model)
    if path.suffix == ".safetensors":
        save_safetensors(state, path, _activation(model))
    else:
        with telling_disk_errors():
            torch.save(state, path)


def write_release(model: DualEncoder, path: Path, name: str) -> None:
    """Write a checkpoint that the FashionKLIP release resumes from: `{epoch, name, state_dict, optimizer}`.

    The keys have the prefix `module.`, as its distributed training expects; without one it takes the prefix away. The
    optimizer's state is empty; the release does not read it.

    Raises:
        InputError: the release has no such model.
        OSError: the file cannot be written.
    """
    _require_plain(model, path)
    if _activation(model) != QUICK_GELU:
        raise InputError(
            f"the release computes quick_gelu alone, and this model was trained with {_activation(model)}; "
            "convert to open_clip instead."
        )
    state = {f"module.{key}": value for key, value in openai_state(model).items()}
    optimizer: dict[str, Any] = {"state": {}, "param_groups": []}
    with telling_disk_errors():
        torch.save({"epoch": 0, "name": name, "state_dict": state, "optimizer": optimizer}, path)


def _require_plain(model: DualEncoder, path: Path) -> None:
    """A file of weights carries neither a number of heads nor a tokenizer, so both have to be CLIP's own."""
    shape = shape_of_encoder(model)
    for tower in (shape.image, shape.text):
        if tower.heads * HEAD_WIDTH != tower.width:
            raise InputError(
                f"{path} would not tell that a tower {tower.width} wide has {tower.heads} heads, not one for every "
                f"{HEAD_WIDTH} features; convert to an open_clip folder or to hf instead."
            )
    if shape.text.vocabulary != VOCABULARY:
        raise InputError(
            f"{path} would not hold the tokenizer, and the model's {shape.text.vocabulary:,} words are not CLIP's; "
            "convert to an open_clip folder or to hf instead."
        )
