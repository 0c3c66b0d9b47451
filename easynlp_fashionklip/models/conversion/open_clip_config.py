"""open_clip's `open_clip_config.json`: what it says beyond the weights, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.checkpoint import read_json
from easynlp_fashionklip.models.conversion.activation import GELU, QUICK_GELU
from easynlp_fashionklip.models.conversion.clip_shape import HEAD_WIDTH, ClipShape
from easynlp_fashionklip.models.processor import CLIP_MEAN, CLIP_STD, ImagePreprocessing, ResizeMode

OPEN_CLIP_CONFIG = "open_clip_config.json"
_RESIZE_MODES: dict[str, ResizeMode] = {"shortest": "crop", "squash": "squash"}
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

# What a plain CLIP may say of itself; values of any other key must be those that change nothing.
_KNOWN = {
    "model_cfg": {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg", "custom_text", "init_logit_scale"},
    "vision_cfg": {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio", "patch_dropout"},
    "text_cfg": {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "hf_tokenizer_name"},
}
_PLAIN = {"pool_type": ("tok", "argmax"), "pos_embed_type": ("learnable",), "proj_type": ("linear",)}
_WITHOUT_EFFECT = {
    "pad_id",
    "eos_id",
    "attn_pooler_queries",
    "attn_pooler_heads",
    "hf_model_pretrained",
    "hf_proj_type",
}
_WITHOUT_EFFECT |= {"hf_pooler_type", "timm_pool", "timm_proj", "tokenizer_kwargs", "tokenizer_mode"}


@dataclass(frozen=True)
class OpenClipConfig:
    """What open_clip_config.json tells of a plain CLIP.

    Attributes:
        path: the file.
        activation: "gelu" or "quick_gelu".
        image_heads, text_heads: numbers of attention heads.
        sizes: what must agree with the weights, by name.
        preprocessing: of pictures.
        own_words: whether texts are cut into words by a tokenizer of its own, not by CLIP's.
    """

    path: Path
    activation: str
    image_heads: int
    text_heads: int
    sizes: Mapping[str, int]
    preprocessing: ImagePreprocessing
    own_words: bool

    def check(self, shape: ClipShape, origin: str) -> None:
        """Refuse weights of another model.

        Raises:
            InputError: naming the first size that differs.
        """
        found = {
            "embed_dim": shape.embed_dim,
            "vision width": shape.image.width,
            "vision layers": shape.image.layers,
            "patch_size": shape.image.patch_size,
            "image_size": shape.image.image_size,
            "text width": shape.text.width,
            "text layers": shape.text.layers,
            "vocab_size": shape.text.vocabulary,
            "context_length": shape.text.context_length,
        }
        for name, size in self.sizes.items():
            if size != found[name]:
                raise InputError(
                    f"{self.path} says {name}={size}, and {origin} has {found[name]}: they belong to different models; "
                    "put the right file in its place or remove it."
                )


def read_open_clip_config(folder: Path) -> OpenClipConfig | None:
    """`open_clip_config.json` of a folder; None if there is none.

    Raises:
        InputError: it cannot be read, or describes something else than a plain CLIP.
    """
    content = read_json(folder, OPEN_CLIP_CONFIG)
    if content is None:
        return None
    path = folder / OPEN_CLIP_CONFIG
    model = content.get("model_cfg", content)
    try:
        _refuse_unknown(model, path)
        return _parse(model, content.get("preprocess_cfg") or {}, path)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} does not describe a CLIP of open_clip ({type(error).__name__}: {error}).") from error


def _refuse_unknown(model: Mapping[str, Any], path: Path) -> None:
    parts = {"model_cfg": model, "vision_cfg": model["vision_cfg"], "text_cfg": model["text_cfg"]}
    for part, values in parts.items():
        for key, value in values.items():
            plain = not value or key in _KNOWN[part] | _WITHOUT_EFFECT or value in _PLAIN.get(key, ())
            if not plain or (part == "model_cfg" and key == "custom_text" and value):
                raise InputError(
                    f"{path} describes a model that is not supported: {part} has {key}={value!r}; "
                    "only CLIP's own vision and text transformers are."
                )


def _parse(model: Mapping[str, Any], pictures: Mapping[str, Any], path: Path) -> OpenClipConfig:
    image, text = model["vision_cfg"], model["text_cfg"]
    sizes = {"embed_dim": int(model["embed_dim"])}
    named = {"vision width": (image, "width"), "vision layers": (image, "layers"), "patch_size": (image, "patch_size")}
    named |= {"image_size": (image, "image_size"), "text width": (text, "width"), "text layers": (text, "layers")}
    named |= {"vocab_size": (text, "vocab_size"), "context_length": (text, "context_length")}
    sizes |= {name: int(part[key]) for name, (part, key) in named.items() if key in part}
    image_heads, rest = divmod(int(image.get("width", 768)), int(image.get("head_width", HEAD_WIDTH)))
    if rest:
        raise ValueError("head_width does not divide width")
    return OpenClipConfig(
        path=path,
        activation=QUICK_GELU if model.get("quick_gelu") else GELU,
        image_heads=image_heads,
        text_heads=int(text.get("heads", 8)),
        sizes=sizes,
        preprocessing=_preprocessing(pictures, int(image.get("image_size", 224)), path),
        own_words=bool(text.get("hf_tokenizer_name")),
    )


def _preprocessing(pictures: Mapping[str, Any], image_size: int, path: Path) -> ImagePreprocessing:
    mode, interpolation = pictures.get("resize_mode", "shortest"), pictures.get("interpolation", "bicubic")
    if mode not in _RESIZE_MODES or interpolation not in _FILTERS:
        raise InputError(f"{path}: resize_mode={mode!r} with interpolation={interpolation!r} is not supported.")
    mean, std = ([float(value) for value in pictures.get(*given)] for given in (("mean", CLIP_MEAN), ("std", CLIP_STD)))
    if len(mean) != 3 or len(std) != 3 or not all(std):
        raise InputError(f"{path}: mean={mean} and std={std} are not three numbers each, those of std above 0.")
    return ImagePreprocessing(
        image_size,
        tuple(mean),
        tuple(std),
        resize_mode=_RESIZE_MODES[mode],
        resample=int(_FILTERS[interpolation]),
    )


def open_clip_config(shape: ClipShape, activation: str, preprocessing: ImagePreprocessing) -> dict[str, Any]:
    """What goes into `open_clip_config.json` for a model.

    Raises:
        InputError: its pictures are prepared in a way that open_clip does not know.
    """
    modes = {ours: theirs for theirs, ours in _RESIZE_MODES.items()}
    filters = {int(number): name for name, number in _FILTERS.items()}
    mode, resample = preprocessing.resize_mode, preprocessing.resample
    edge = preprocessing.shortest_edge or preprocessing.image_size
    if mode not in modes or resample not in filters or edge != preprocessing.image_size:
        raise InputError(
            f"open_clip has no preprocessing with resize_mode={mode}, shortest edge {edge} and filter {resample}; "
            "convert to hf instead."
        )
    image, text = shape.image, shape.text
    return {
        "model_cfg": {
            "embed_dim": shape.embed_dim,
            "quick_gelu": activation == QUICK_GELU,
            "vision_cfg": {
                "image_size": image.image_size,
                "layers": image.layers,
                "width": image.width,
                "head_width": image.width // image.heads,
                "mlp_ratio": image.mlp_width / image.width,
                "patch_size": image.patch_size,
            },
            "text_cfg": {
                "context_length": text.context_length,
                "vocab_size": text.vocabulary,
                "width": text.width,
                "heads": text.heads,
                "layers": text.layers,
                "mlp_ratio": text.mlp_width / text.width,
            },
        },
        "preprocess_cfg": {
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "interpolation": filters[resample],
            "resize_mode": modes[mode],
        },
    }
