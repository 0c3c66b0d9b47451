"""How a picture becomes the square that a model sees: read from a checkpoint's files, computed with PIL."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.checkpoint import first_line, read_json

logger = logging.getLogger(__name__)

ResizeMode = Literal["crop", "pad", "squash"]
PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
FAMILIES = ("CLIP", "ChineseCLIP", "Siglip", "Siglip2")
"""What transformers calls the processors of the dual encoders that a folder may be of, without `Processor`."""

_TRAIN_SCALE = (0.6, 1.0)  # share of the picture's area that a training crop keeps: products fill their pictures
_TRAIN_RATIO = (3 / 4, 4 / 3)
MAX_SIDE = 8192  # pixels of a square; what is larger was meant otherwise
_WHITE = (255, 255, 255)
_CONVNEXT_LARGE = 384  # pixels, from which on ConvNext squashes the whole picture


@dataclass(frozen=True)
class ImagePreprocessing:
    """How a picture becomes a square of `image_size` pixels.

    Attributes:
        image_size: side of the square in pixels.
        mean, std: per channel, of values in 0..1.
        resize_mode: "crop" resizes the shortest edge and cuts the centre out, as CLIP does; "pad" keeps the whole
            picture and its proportions on white ground; "squash" keeps the whole picture and not its proportions.
        shortest_edge: length of the shortest edge before the centre crop; 0 is `image_size`.
        resample: PIL's filter number, 3 is bicubic.
    """

    image_size: int
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    resize_mode: ResizeMode = "crop"
    shortest_edge: int = 0
    resample: int = int(Image.Resampling.BICUBIC)

    def with_image_size(self, image_size: int) -> ImagePreprocessing:
        """The same preprocessing for another size; the margin around the centre crop keeps its proportion."""
        scaled = round(self.shortest_edge * image_size / self.image_size)
        return replace(self, image_size=image_size, shortest_edge=scaled)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], origin: str = PREPROCESSOR) -> ImagePreprocessing:
        """Read preprocessor_config.json, of ours or of transformers (`size` as a number or a dictionary).

        Raises:
            InputError: naming `origin`, if no size can be read from it, or a value is of the wrong kind or size.
        """
        try:
            return _checked(_from_transformers(content))
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise InputError(f"{origin} does not say how to resize pictures ({first_line(error)}).") from error

    def to_dict(self, family: str = "CLIP") -> dict[str, Any]:
        """Fields of a preprocessor_config.json that transformers reads too ("pad" needs our `resize_mode`).

        Args:
            family: of the image processor that transformers is to take, see `FAMILIES`.
        """
        side = {"height": self.image_size, "width": self.image_size}
        crops = self.resize_mode == "crop"
        return {
            "image_processor_type": f"{family}ImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": {"shortest_edge": self.shortest_edge or self.image_size} if crops else side,
            "resample": self.resample,
            "do_center_crop": crops,
            "crop_size": side,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "resize_mode": self.resize_mode,
        }


def _edge(size: Any) -> int:
    """One side of `224`, `{"shortest_edge": 224}` or `{"height": 224, "width": 224}`."""
    if isinstance(size, Mapping):
        sides = {int(size[key]) for key in ("shortest_edge", "height", "width") if size.get(key)}
        if len(sides) != 1:
            raise ValueError(f"size {dict(size)} is not a square")
        return sides.pop()
    return int(size)


def _kind(content: Mapping[str, Any]) -> str:
    """What kind of image processor a file describes: `CLIP` of a CLIPImageProcessor, '' where it does not say."""
    named = str(content.get("image_processor_type") or content.get("feature_extractor_type") or "")
    return re.sub(r"(ImageProcessor|FeatureExtractor)(Fast|Pil)?$", "", named)


def _with_margin(content: Mapping[str, Any]) -> dict[str, Any]:
    """ConvNext's way of saying so, spelt out: `crop_pct` of the resized picture is kept, of large ones everything."""
    side = _edge(content["size"])
    if side >= _CONVNEXT_LARGE:
        return {**content, "size": {"height": side, "width": side}, "do_center_crop": False}
    larger = {"shortest_edge": int(side / float(content["crop_pct"]))}
    return {**content, "size": larger, "do_center_crop": True, "crop_size": side}


def _from_transformers(content: Mapping[str, Any]) -> ImagePreprocessing:
    kind = _kind(content)
    if "size" not in content:
        raise ValueError("it has no 'size'" + (f" and is of the kind {kind}" if kind else ""))
    if kind.startswith("ConvNext") and content.get("crop_pct"):
        content = _with_margin(content)
    size = content["size"]
    crops = bool(content.get("do_center_crop", kind in ("", "CLIP", "ChineseCLIP") or "crop_size" in content))
    image_size = _edge(content.get("crop_size") or size) if crops else _edge(size)
    resizes_to_square = isinstance(size, Mapping) and "height" in size
    if resizes_to_square and image_size != _edge(size):
        raise ValueError(f"it crops {image_size} px out of a square of {_edge(size)} px, which is not supported")
    keeps_proportions = crops or isinstance(size, Mapping)
    mode = content.get("resize_mode", "crop" if keeps_proportions and not resizes_to_square else "squash")
    if mode not in get_args(ResizeMode):
        raise ValueError(f"resize_mode {mode!r} is not one of {', '.join(get_args(ResizeMode))}")
    # The scaling of bytes is folded into mean and std, which then apply to values in 0..1.
    scale = 255 * float(content.get("rescale_factor", 1 / 255)) if content.get("do_rescale", True) else 255.0
    normalises = content.get("do_normalize", True)
    own_mean, own_std = (HALF, HALF) if kind in ("Siglip", "ViT") else (CLIP_MEAN, CLIP_STD)
    mean = content.get("image_mean") or own_mean if normalises else (0.0, 0.0, 0.0)
    std = content.get("image_std") or own_std if normalises else (1.0, 1.0, 1.0)
    return ImagePreprocessing(
        image_size=image_size,
        mean=tuple(float(value) / scale for value in mean),
        std=tuple(float(value) / scale for value in std),
        resize_mode=mode,
        shortest_edge=_edge(size) if mode == "crop" else 0,
        resample=int(content.get("resample", Image.Resampling.BICUBIC)),
    )


def _checked(found: ImagePreprocessing) -> ImagePreprocessing:
    """What was read, unless no picture could be prepared so: raises a ValueError that says why."""
    for name, side, least in (("size", found.image_size, 1), ("shortest_edge", found.shortest_edge, 0)):
        if not least <= side <= MAX_SIDE:
            raise ValueError(f"{name} {side} is not from {least} to {MAX_SIDE} px")
    if len(found.mean) != 3 or len(found.std) != 3:
        raise ValueError("image_mean and image_std are not of three channels")
    if not all(map(math.isfinite, (*found.mean, *found.std))) or min(found.std) <= 0:
        raise ValueError("image_mean, image_std or rescale_factor is no number, or not above 0 where it divides")
    Image.Resampling(found.resample)
    return found


def read_preprocessing(source: str | Path, family: str = "") -> ImagePreprocessing | None:
    """How a folder or hub name prepares pictures; None, and a warning, where it does not say.

    Raises:
        InputError: it cannot be read, or is of another family than `family`.
    """
    content, name = read_json(source, PREPROCESSOR), PREPROCESSOR
    if content is None:
        # transformers 5 writes one file for the whole processor.
        whole, name = read_json(source, PROCESSOR) or {}, PROCESSOR
        content = whole.get("image_processor")
        if isinstance(content, dict) and "processor_class" in whole:
            content = content | {"processor_class": whole["processor_class"]}
    if not isinstance(content, dict):
        told = family if family in FAMILIES else "CLIP"
        logger.warning("%s has no %s: pictures are resized and normalised as for %s", source, PREPROCESSOR, told)
        return None
    origin = str(Path(source) / name)
    _check_family(content, family, origin)
    return ImagePreprocessing.from_dict(content, origin=origin)


def _check_family(content: Mapping[str, Any], family: str, origin: str) -> None:
    """Refuse files that name the processor of another family; CLIP's image processor can be told to do all."""
    named = (str(content.get("processor_class") or "").removesuffix("Processor"), _kind(content))
    foreign = [one for one in named if one in FAMILIES and one not in (family, "CLIP")]
    if family in FAMILIES and foreign:
        raise InputError(
            f"{origin} is of the family {foreign[0]}, and the model beside it is not ({family}); put the model's own "
            f"{PREPROCESSOR} there."
        )


def fit(image: Image.Image, preprocessing: ImagePreprocessing) -> Image.Image:
    """The square of an RGB picture in evaluation."""
    size, resample = preprocessing.image_size, Image.Resampling(preprocessing.resample)
    if preprocessing.resize_mode != "crop":
        canvas = _on_white_square(image) if preprocessing.resize_mode == "pad" else image
        return canvas.resize((size, size), resample)
    edge = preprocessing.shortest_edge or size
    short = min(image.size)
    width, height = (edge if side == short else int(edge * side / short) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), resample).crop((left, top, left + size, top + size))


def _on_white_square(image: Image.Image) -> Image.Image:
    if image.width == image.height:
        return image
    side = max(image.size)
    canvas = Image.new("RGB", (side, side), _WHITE)
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas


def augment(image: Image.Image, preprocessing: ImagePreprocessing, rng: np.random.Generator) -> Image.Image:
    """Random resized crop and horizontal flip of the same canvas that `fit` shows in evaluation."""
    canvas = _on_white_square(image) if preprocessing.resize_mode == "pad" else image
    # Squashed pictures are squares to the model, so their crops are drawn as if the picture were one.
    aspect = canvas.width / canvas.height if preprocessing.resize_mode == "squash" else 1.0
    area = canvas.width * canvas.height * rng.uniform(*_TRAIN_SCALE)
    ratio = aspect * math.exp(rng.uniform(math.log(_TRAIN_RATIO[0]), math.log(_TRAIN_RATIO[1])))
    width = min(canvas.width, max(1.0, math.sqrt(area * ratio)))
    height = min(canvas.height, max(1.0, math.sqrt(area / ratio)))
    left, top = rng.uniform(0, canvas.width - width), rng.uniform(0, canvas.height - height)
    flip = rng.random() < 0.5
    size, resample = preprocessing.image_size, Image.Resampling(preprocessing.resample)
    crop = canvas.resize((size, size), resample, box=(left, top, left + width, top + height))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else crop
