"""Pictures and texts to tensors, with PIL and numpy alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from tokenizers import normalizers
from torch import Tensor
from transformers import AutoTokenizer

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.checkpoint import find_file, first_line
from easynlp_fashionklip.models.preprocessing import (
    CLIP_MEAN,
    CLIP_STD,
    FAMILIES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    PREPROCESSOR,
    ImagePreprocessing,
    ResizeMode,
    augment,
    fit,
    read_preprocessing,
)

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "PREPROCESSOR",
    "ImagePreprocessing",
    "Processor",
    "ResizeMode",
    "load_tokenizer",
]

_VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_TRIAL = "A red t-shirt, 3/4-length sleeves; 红色连衣裙 café"  # letters, marks, digits and what few vocabularies hold


class Processor:
    """Turns PIL pictures and texts into the tensors that a `DualEncoder` takes; can be sent to worker processes.

    Args:
        preprocessing: how pictures are resized and normalised.
        tokenizer: one of transformers.
        max_length: most tokens of a text, special tokens included.
        pads_texts: give every text the length `max_length` has now, and let padding be read, as SigLIP was trained.
    """

    def __init__(
        self, preprocessing: ImagePreprocessing, tokenizer: Any, max_length: int, pads_texts: bool = False
    ) -> None:
        self.preprocessing = preprocessing
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.padded_length = max_length if pads_texts else 0
        if tokenizer.pad_token_id is None:
            raise InputError("the checkpoint's tokenizer has no padding token; set pad_token in tokenizer_config.json.")
        tokenizer.model_max_length = max_length

    def __getstate__(self) -> dict[str, Any]:
        """For another process, perhaps on another machine, where the files are not that some tokenizers name."""
        packed = None if getattr(self.tokenizer, "is_fast", True) else _packed(self.tokenizer)
        return self.__dict__ if packed is None else self.__dict__ | {"tokenizer": packed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Undo `__getstate__`."""
        packed = state["tokenizer"]
        self.__dict__.update(state | {"tokenizer": _unpacked(*packed)} if isinstance(packed, tuple) else state)

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

        A longer text loses its last words and never its closing special token: CLIP reads the embedding there. With
        `pads_texts` L is that length whatever `max_length` has become, and the mask is all ones: SigLIP reads the
        embedding at the last token, padding or not, from a text tower that has seen the padding too.
        """
        if not texts:
            return {name: torch.empty(0, 0, dtype=torch.long) for name in ("input_ids", "attention_mask")}
        encoded = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        if not self.padded_length:
            return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
        missing = self.padded_length - encoded["input_ids"].shape[1]
        sides = (missing, 0) if self.tokenizer.padding_side == "left" else (0, missing)
        ids = F.pad(encoded["input_ids"], sides, value=self.tokenizer.pad_token_id)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

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
        square = augment(image, self.preprocessing, rng) if rng and train else fit(image, self.preprocessing)
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
        other = Processor.__new__(Processor)
        other.__dict__.update(self.__dict__, preprocessing=self.preprocessing.with_image_size(image_size))
        return other

    def save_pretrained(self, folder: str | Path, family: str = "CLIP") -> None:
        """Write preprocessor_config.json and the tokenizer's files into a folder.

        Args:
            folder: exists.
            family: of the processor that transformers is to take: its name without `Processor`.
        """
        image_family = family if family in FAMILIES else "CLIP"
        content = self.preprocessing.to_dict(image_family) | {"processor_class": f"{family}Processor"}
        (Path(folder) / PREPROCESSOR).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        self.tokenizer.save_pretrained(str(folder))

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        image_size: int,
        max_length: int,
        tokenizer_config: Any = None,
        family: str = "",
        default: ImagePreprocessing | None = None,
        pads_texts: bool = False,
    ) -> Processor:
        """Read a checkpoint folder or hub name.

        Args:
            source: folder or hub name.
            image_size: size to assume, with CLIP's preprocessing, when the checkpoint does not describe its own.
            max_length: most tokens that the text tower takes; the tokenizer's own limit may be lower.
            tokenizer_config: configuration of the text tower, where config.json is not one of transformers.
            family: of the model, see `FAMILIES`; a processor of another one is refused.
            default: preprocessing to assume instead of CLIP's.
            pads_texts: see `Processor`.

        Raises:
            InputError: if the tokenizer or the preprocessing cannot be read, or is of another family.
        """
        tokenizer = load_tokenizer(source, tokenizer_config)
        if family == "Siglip" and type(tokenizer).__name__.startswith("GemmaTokenizer"):
            tokenizer = _lower_cased(tokenizer, source)
        preprocessing = read_preprocessing(source, family) or default or ImagePreprocessing(image_size)
        return cls(preprocessing, tokenizer, text_limit(tokenizer, max_length, source), pads_texts)


def _packed(tokenizer: Any) -> tuple[type, dict[str, bytes]]:
    """A tokenizer's class and its files by name."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return type(tokenizer), {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def _unpacked(kind: Any, files: Mapping[str, bytes]) -> Any:
    """Undo `_packed`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return kind.from_pretrained(folder)


def text_limit(tokenizer: Any, max_length: int, source: str | Path) -> int:
    """Most tokens of a text: what the text tower takes, or the tokenizer's own limit where that is lower.

    Raises:
        InputError: the tokenizer's is no number, or leaves no room for a word between the special tokens.
    """
    own, special = tokenizer.model_max_length, tokenizer.num_special_tokens_to_add()
    if isinstance(own, bool) or not isinstance(own, int | float) or not own > special:
        raise InputError(
            f"{source}: tokenizer_config.json has model_max_length {own!r}, which is not a number above {special}, the "
            "number of special tokens; restore it."
        )
    return int(min(max_length, own))


def load_tokenizer(source: str | Path, config: Any = None) -> Any:
    """The tokenizer of a folder or hub name; `config` names its family where config.json does not.

    Raises:
        InputError: if it has none that can be read.
    """
    # Without any of these transformers builds a tokenizer that knows its special tokens and no word, and says nothing.
    if not any(find_file(source, name) for name in _VOCABULARIES):
        raise InputError(f"{source} has no tokenizer; add its tokenizer.json and tokenizer_config.json.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), config=config, trust_remote_code=False)
        pads = tokenizer.pad_token is not None
        tokenizer([_TRIAL], padding=pads, truncation=True, max_length=8)  # some damage shows only here
        return tokenizer
    except BaseException as error:  # a damaged file makes transformers raise anything, and its tokenizers panic
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(
            f"{source} has no tokenizer that can be read ({first_line(error)}); add its tokenizer.json and "
            "tokenizer_config.json."
        ) from error


def _lower_cased(tokenizer: Any, source: str | Path) -> Any:
    """SigLIP 2 reads small letters (Tschannen et al. 2025), though its checkpoints name Gemma's tokenizer."""
    own = getattr(transformers, "Siglip2Tokenizer", None)  # since transformers 5
    if own is not None:
        return own.from_pretrained(str(source))
    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), backend.normalizer])
    return tokenizer
