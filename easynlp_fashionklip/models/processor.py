"""Pictures and texts to tensors, with PIL and numpy alone."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.checkpoint import UNREADABLE, find_file, first_line, read_json

logger = logging.getLogger(__name__)

ResizeMode = Literal["crop", "pad", "squash"]
PREPROCESSOR = "preprocessor_config.json"
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_TRAIN_SCALE = (0.6, 1.0)  # share of the picture's area that a training crop keeps: products fill their pictures
_TRAIN_RATIO = (3 / 4, 4 / 3)
_WHITE = (255, 255, 255)


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
            InputError: naming `origin`, if no size can be read from it.
        """
        try:
            return _from_transformers(content)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{origin} does not say how to resize pictures ({first_line(error)}).") from error

    def to_dict(self) -> dict[str, Any]:
        """Fields of a preprocessor_config.json that transformers reads too ("pad" needs our `resize_mode`)."""
        side = {"height": self.image_size, "width": self.image_size}
        crops = self.resize_mode == "crop"
        return {
            "image_processor_type": "CLIPImageProcessor",
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


def _from_transformers(content: Mapping[str, Any]) -> ImagePreprocessing:
    size = content["size"]
    kind = str(content.get("image_processor_type") or content.get("feature_extractor_type") or "CLIP")
    crops = bool(content.get("do_center_crop", kind.startswith("CLIP") or "crop_size" in content))
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
    mean = content.get("image_mean", CLIP_MEAN) if normalises else (0.0, 0.0, 0.0)
    std = content.get("image_std", CLIP_STD) if normalises else (1.0, 1.0, 1.0)
    return ImagePreprocessing(
        image_size=image_size,
        mean=tuple(float(value) / scale for value in mean),
        std=tuple(float(value) / scale for value in std),
        resize_mode=mode,
        shortest_edge=_edge(size) if mode == "crop" else 0,
        resample=int(content.get("resample", Image.Resampling.BICUBIC)),
    )


class Processor:
    """Turns PIL pictures and texts into the tensors that a `DualEncoder` takes; can be sent to worker processes.

    Args:
        preprocessing: how pictures are resized and normalised.
        tokenizer: a fast tokenizer of transformers.
        max_length: most tokens of a text, special tokens included.
    """

    def __init__(self, preprocessing: ImagePreprocessing, tokenizer: Any, max_length: int) -> None:
        self.preprocessing = preprocessing
        self.tokenizer = tokenizer
        self.max_length = max_length
        if tokenizer.pad_token_id is None:
            raise InputError("the checkpoint's tokenizer has no padding token; set pad_token in tokenizer_config.json.")
        tokenizer.model_max_length = max_length

    @property
    def image_size(self) -> int:
        """Side in pixels of the square that `transform` gives."""
        return self.preprocessing.image_size

    def __call__(
        self, images: Sequence[Image.Image] | None = None, texts: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """`pixel_values` (B x 3 x S x S) for the pictures, `input_ids` and `attention_mask` (B x L) for the texts."""
        tensors: dict[str, Tensor] = {}
        if images is not None:
            empty = torch.empty(0, 3, self.image_size, self.image_size)
            tensors["pixel_values"] = torch.stack([self.transform(image) for image in images]) if images else empty
        if texts is not None:
            tensors.update(self.tokenize(texts))
        return tensors

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask`, each B x L int64 with L the longest text, at most `max_length`.

        A longer text loses its last words and never its closing special token: CLIP reads the embedding there.
        """
        if not texts:
            return {name: torch.empty(0, 0, dtype=torch.long) for name in ("input_ids", "attention_mask")}
        encoded = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}

    def transform(self, image: Image.Image, train: bool = False, rng: np.random.Generator | None = None) -> Tensor:
        """3 x S x S float32: `pixels` normalised."""
        return self.normalise(self.pixels(image, train, rng)).contiguous()

    def pixels(self, image: Image.Image, train: bool = False, rng: np.random.Generator | None = None) -> Tensor:
        """3 x S x S uint8, channels last in memory: the square that the model sees, a quarter of `transform`'s bytes.

        In training a random crop of 60 to 100 % of the area is taken and flipped half of the time, drawn from `rng`.
        `DualEncoder.encode_image` takes batches of these as they are and normalises them on its device.

        Raises:
            ValueError: if `train` is set without `rng`.
        """
        image = image if image.mode == "RGB" else image.convert("RGB")
        if train and rng is None:
            raise ValueError("transform(train=True) needs a numpy generator, so that runs can be repeated")
        square = _augment(image, self.preprocessing, rng) if rng and train else _fit(image, self.preprocessing)
        return torch.from_numpy(np.array(square)).permute(2, 0, 1)

    def normalise(self, pixels: Tensor) -> Tensor:
        """... x 3 x H x W uint8 -> float32 of the same shape and layout, on the same device."""
        mean, std = np.asarray(self.preprocessing.mean), np.asarray(self.preprocessing.std)
        scale, shift = (
            torch.from_numpy(values.astype(np.float32)).to(pixels.device)[:, None, None]
            for values in (1 / (255 * std), mean / std)
        )
        return pixels.float().mul_(scale).sub_(shift)

    def with_image_size(self, image_size: int) -> Processor:
        """The same processor for another picture size."""
        return Processor(self.preprocessing.with_image_size(image_size), self.tokenizer, self.max_length)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write preprocessor_config.json and the tokenizer's files into a folder."""
        text = json.dumps(self.preprocessing.to_dict(), indent=2) + "\n"
        (Path(folder) / PREPROCESSOR).write_text(text, encoding="utf-8")
        self.tokenizer.save_pretrained(str(folder))

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, image_size: int, max_length: int, tokenizer_config: Any = None
    ) -> Processor:
        """Read a checkpoint folder or hub name.

        Args:
            source: folder or hub name.
            image_size: size to assume, with CLIP's preprocessing, when the checkpoint does not describe its own.
            max_length: most tokens that the text tower takes; the tokenizer's own limit may be lower.
            tokenizer_config: configuration of the text tower, where config.json is not one of transformers.

        Raises:
            InputError: if the tokenizer or the preprocessing cannot be read.
        """
        tokenizer = load_tokenizer(source, tokenizer_config)
        preprocessing = _read_preprocessing(source) or ImagePreprocessing(image_size)
        return cls(preprocessing, tokenizer, min(max_length, tokenizer.model_max_length))


def _read_preprocessing(source: str | Path) -> ImagePreprocessing | None:
    content = read_json(source, PREPROCESSOR)
    if content is None:
        # transformers 5 writes one file for the whole processor.
        content = (read_json(source, "processor_config.json") or {}).get("image_processor")
    if content is None:
        logger.warning("%s has no %s: pictures are resized and normalised as for CLIP", source, PREPROCESSOR)
        return None
    return ImagePreprocessing.from_dict(content, origin=str(Path(source) / PREPROCESSOR))


def load_tokenizer(source: str | Path, config: Any = None) -> Any:
    """The fast tokenizer of a folder or hub name; `config` names its family where config.json does not.

    Raises:
        InputError: if it has none that can be read.
    """
    # Without any of these transformers builds a tokenizer that knows its special tokens and no word, and says nothing.
    if not any(find_file(source, name) for name in _VOCABULARIES):
        raise InputError(f"{source} has no tokenizer; add its tokenizer.json and tokenizer_config.json.")
    try:
        return AutoTokenizer.from_pretrained(str(source), config=config)
    except (*UNREADABLE, ImportError, TypeError) as error:
        raise InputError(
            f"{source} has no tokenizer that can be read ({first_line(error)}); add its tokenizer.json and "
            "tokenizer_config.json."
        ) from error


def _fit(image: Image.Image, preprocessing: ImagePreprocessing) -> Image.Image:
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


def _augment(image: Image.Image, preprocessing: ImagePreprocessing, rng: np.random.Generator) -> Image.Image:
    """Random resized crop and horizontal flip of the same canvas that `_fit` shows in evaluation."""
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
