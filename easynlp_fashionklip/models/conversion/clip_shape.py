"""The architecture of a CLIP, read off the shapes of its weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from transformers import ChineseCLIPConfig, ChineseCLIPModel, CLIPConfig, CLIPModel

from easynlp_fashionklip.errors import InputError

HEAD_WIDTH = 64  # of every CLIP whose weights do not come with another number
# Widths whose published models (ViT-H, g, G) have other heads, which the weights do not show.
_OTHER_HEADS = (1280, 1408, 1664)
_BERT_HEAD_WIDTH = 64

_REFUSED = (
    ("visual.layer1.", "its picture tower is a ResNet (the RN50 family), and only vision transformers are supported"),
    ("visual.trunk.", "its picture tower is one of timm's, and only CLIP's own vision transformer is supported"),
    ("logit_bias", "it is a SigLIP model, which is supported in transformers' layout alone"),
    ("text.", "its text tower is not CLIP's own, which alone is supported"),
    ("text_decoder.", "it is a CoCa model, which writes captions and is not supported"),
    ("vision_model.", "it is in transformers' layout; give the folder that holds its config.json"),
    ("model.vision_model.", "it is in transformers' layout; give the folder that holds its config.json"),
)
_NEEDED = (
    "visual.conv1.weight",
    "visual.class_embedding",
    "visual.positional_embedding",
    "visual.proj",
    "text_projection",
)


@dataclass(frozen=True)
class ImageTower:
    """A vision transformer: sizes in pixels, numbers of layers, features and heads."""

    image_size: int
    patch_size: int
    width: int
    layers: int
    heads: int
    mlp_width: int


@dataclass(frozen=True)
class TextTower:
    """A text transformer: most tokens, words, numbers of layers, features and heads."""

    context_length: int
    vocabulary: int
    width: int
    layers: int
    heads: int
    mlp_width: int


@dataclass(frozen=True)
class ClipShape:
    """Both towers and the size d of the shared space; `chinese` if the text tower is BERT."""

    image: ImageTower
    text: TextTower
    embed_dim: int
    chinese: bool = False

    def with_heads(self, image: int, text: int) -> ClipShape:
        """The same with other numbers of heads, which weights do not show; 0 leaves what it is."""
        towers = {
            name: replace(tower, heads=heads)
            for name, tower, heads in (("image", self.image, image), ("text", self.text, text))
            if heads
        }
        return replace(self, **towers)  # type: ignore[arg-type]


def shape_of(state: Mapping[str, Tensor], origin: str) -> ClipShape:
    """The architecture of a state dict in OpenAI's layout, with a text tower of CLIP's or of Chinese-CLIP's kind.

    Raises:
        InputError: naming `origin` and what it is instead, or which weight is missing or has another shape.
    """
    _refuse(state, origin)
    try:
        chinese = any(key.startswith("bert.") for key in state)
        shape = ClipShape(_image_tower(state), _bert(state) if chinese else _text_tower(state), 0, chinese)
        return replace(shape, embed_dim=_columns(state["text_projection"]))
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"{origin} is no whole CLIP: {_reason(error)}; copy or download it again.") from error


def _refuse(state: Mapping[str, Tensor], origin: str) -> None:
    for prefix, reason in _REFUSED:
        if any(key.startswith(prefix) for key in state):
            raise InputError(f"{origin} cannot be used: {reason}.")
    missing = [key for key in _NEEDED if key not in state]
    if missing:
        some = ", ".join(sorted(state)[:3]) or "nothing"
        raise InputError(f"{origin} is no CLIP in OpenAI's layout: it lacks {missing[0]!r} and holds {some}.")


def _reason(error: Exception) -> str:
    return f"it lacks {error.args[0]!r}" if isinstance(error, KeyError) else str(error)


def _columns(matrix: Tensor) -> int:
    if matrix.dim() != 2:
        raise ValueError(f"a projection has {matrix.dim()} dimensions")
    return int(matrix.shape[1])


def _image_tower(state: Mapping[str, Tensor]) -> ImageTower:
    kernel, positions = state["visual.conv1.weight"], state["visual.positional_embedding"]
    if kernel.dim() != 4 or positions.dim() != 2:
        raise ValueError("visual.conv1.weight or visual.positional_embedding has another number of dimensions")
    width, patch = int(kernel.shape[0]), int(kernel.shape[-1])
    grid = math.isqrt(len(positions) - 1)
    if grid * grid + 1 != len(positions):
        raise ValueError(f"its {len(positions)} positions are no square of patches and a class token")
    prefix = "visual.transformer.resblocks."
    return ImageTower(
        grid * patch,
        patch,
        width,
        _layers(state, prefix),
        width // HEAD_WIDTH,
        _mlp_width(state, f"{prefix}0.mlp.c_fc."),
    )


def _text_tower(state: Mapping[str, Tensor]) -> TextTower:
    vocabulary, width = state["token_embedding.weight"].shape
    prefix = "transformer.resblocks."
    return TextTower(
        len(state["positional_embedding"]),
        int(vocabulary),
        int(width),
        _layers(state, prefix),
        int(width) // HEAD_WIDTH,
        _mlp_width(state, f"{prefix}0.mlp.c_fc."),
    )


def _bert(state: Mapping[str, Tensor]) -> TextTower:
    vocabulary, width = state["bert.embeddings.word_embeddings.weight"].shape
    prefix = "bert.encoder.layer."
    return TextTower(
        len(state["bert.embeddings.position_embeddings.weight"]),
        int(vocabulary),
        int(width),
        _layers(state, prefix),
        int(width) // _BERT_HEAD_WIDTH,
        _mlp_width(state, f"{prefix}0.intermediate.dense."),
    )


def _layers(state: Iterable[str], prefix: str) -> int:
    numbers = {key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)}
    if numbers != {str(number) for number in range(len(numbers))}:
        raise ValueError(f"its layers {prefix}* are not numbered from 0 on")
    return len(numbers)


def _mlp_width(state: Mapping[str, Tensor], prefix: str) -> int:
    return len(state[f"{prefix}weight"])


def check_heads(shape: ClipShape, origin: str, told: bool = False) -> None:
    """Refuse numbers of heads that cannot be, and widths that do not tell them; `told` if a configuration did.

    Raises:
        InputError: naming what would tell.
    """
    for tower in (shape.image, shape.text):
        if tower.heads < 1 or tower.width % tower.heads or (tower.width in _OTHER_HEADS and not told):
            raise InputError(
                f"{origin} has a tower {tower.width} wide, which does not tell how many attention heads it has; "
                "put the model's own open_clip_config.json beside it."
            )


def clip_config(shape: ClipShape, activation: str) -> CLIPConfig:
    """transformers' configuration of a CLIP; its last word is the end-of-text token, the one before begins a text."""
    text = {
        "vocab_size": shape.text.vocabulary,
        "max_position_embeddings": shape.text.context_length,
        "bos_token_id": shape.text.vocabulary - 2,
        "eos_token_id": shape.text.vocabulary - 1,
        "pad_token_id": shape.text.vocabulary - 1,
        **_tower(shape.text, activation),
    }
    config = CLIPConfig(
        text_config={**text, "projection_dim": shape.embed_dim},
        vision_config={**_vision(shape, activation), "projection_dim": shape.embed_dim},
        projection_dim=shape.embed_dim,
    )
    config.architectures = [CLIPModel.__name__]
    return config


def chinese_clip_config(shape: ClipShape, activation: str, text: Mapping[str, Any]) -> ChineseCLIPConfig:
    """transformers' configuration of a Chinese-CLIP; `text` holds what its author wrote of BERT, such as dropouts."""
    words = {
        "vocab_size": shape.text.vocabulary,
        "max_position_embeddings": shape.text.context_length,
        "type_vocab_size": 2,
        **_tower(shape.text, "gelu"),
        **text,
    }
    config = ChineseCLIPConfig(
        text_config=words, vision_config=_vision(shape, activation), projection_dim=shape.embed_dim
    )
    config.architectures = [ChineseCLIPModel.__name__]
    return config


def _vision(shape: ClipShape, activation: str) -> dict[str, Any]:
    sizes = {"image_size": shape.image.image_size, "patch_size": shape.image.patch_size}
    return sizes | _tower(shape.image, activation)


def _tower(tower: ImageTower | TextTower, activation: str) -> dict[str, Any]:
    return {
        "hidden_size": tower.width,
        "intermediate_size": tower.mlp_width,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
        "hidden_act": activation,
    }
