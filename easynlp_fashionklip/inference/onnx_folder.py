"""What the folder of an exported encoder holds, and how its config.json describes it."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import UnionType
from typing import Any

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.checkpoint import CONFIG, read_config, read_json

MODEL_TYPE = "fashionklip-onnx"
IMAGE_GRAPH, TEXT_GRAPH = "image.onnx", "text.onnx"
GRAPHS = (IMAGE_GRAPH, TEXT_GRAPH)
FORMAT_VERSION = 1
INSTALL = "pip install 'easynlp-fashionklip[onnx]'"
EXPORT_AGAIN = "export the checkpoint again"

_KINDS: dict[str, type | UnionType] = {
    "embed_dim": int,
    "image_size": int,
    "max_length": int,
    "logit_scale": int | float,
    "pad_token_id": int | None,
    "pads_texts": bool,
    "source_model_type": str,
    "tokenizer_model_type": str,
    "weights": str,
    "opset": int,
    "preprocessing": dict,
    "sha256": dict,
    "format_version": int,
}
_LARGEST_SCALE = 1000.0  # e to the power of it is beyond any float
_POSITIVE = ("embed_dim", "image_size", "max_length")


@dataclass(frozen=True)
class OnnxConfig:
    """config.json of an exported encoder.

    Attributes:
        embed_dim: size d of the shared space.
        image_size: side of the pictures in pixels; the graph takes no other.
        max_length: most tokens of a text.
        logit_scale: log of the inverse temperature.
        pad_token_id: token that is masked where no mask is given; None masks nothing.
        pads_texts: whether every text is padded to `max_length` and the padding read, as SigLIP was trained.
        source_model_type: family of the encoder that was exported.
        tokenizer_model_type: family by which transformers knows the tokenizer.
        weights: "float32", or "int8" where the matrix products are quantised.
        opset: version of ONNX's operators in the graphs.
        preprocessing: how a picture becomes `pixel_values`, as in preprocessor_config.json.
        sha256: of each file with weights, by name.
        format_version: of this description.
    """

    embed_dim: int
    image_size: int
    max_length: int
    logit_scale: float
    pad_token_id: int | None
    pads_texts: bool
    source_model_type: str
    tokenizer_model_type: str
    weights: str
    opset: int
    preprocessing: Mapping[str, Any]
    sha256: Mapping[str, str]
    format_version: int = FORMAT_VERSION
    model_type: str = MODEL_TYPE

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in config.json."""
        return asdict(self)

    def to_json_string(self) -> str:
        """The text of config.json."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], origin: str = CONFIG) -> OnnxConfig:
        """Read what `to_dict` gave; `origin` names the file in messages.

        Raises:
            InputError: a field is missing, of another kind or out of range, or the format is of a later version.
        """
        version = content.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise InputError(
                f"{origin} is of format version {version}, later than {FORMAT_VERSION}; use a newer "
                f"easynlp-fashionklip or {EXPORT_AGAIN}."
            )
        values = {name: content.get(name) for name in _KINDS}
        for name, kind in _KINDS.items():
            value = values[name]
            low = name in _POSITIVE and not (isinstance(value, int) and value > 0)
            if name not in content or isinstance(value, bool) != (kind is bool) or not isinstance(value, kind) or low:
                raise _bad(origin, name, content.get(name, "missing"))
        scale: Any = values["logit_scale"]
        if not abs(scale) <= _LARGEST_SCALE:
            raise _bad(origin, "logit_scale", scale)
        digests: Any = values["sha256"]
        for name in (*GRAPHS, *digests):
            if not isinstance(digests.get(name), str):
                raise _bad(origin, f"sha256 of {name}", digests.get(name))
        return cls(**values)  # type: ignore[arg-type]


def _bad(origin: str, name: str, value: object) -> InputError:
    return InputError(f"{origin}: {name} is {value!r}, which describes no exported encoder; {EXPORT_AGAIN}.")


def is_onnx_folder(source: str | Path) -> bool:
    """Whether a folder holds an exported encoder, or what is left of one."""
    folder = Path(source).expanduser()
    if not str(source) or not folder.is_dir():
        return False
    try:
        config = read_json(folder, CONFIG)
    except InputError:
        config = None
    if config is None:
        return any((folder / name).is_file() for name in GRAPHS)
    return config.get("model_type") == MODEL_TYPE


def read_onnx_config(folder: Path) -> OnnxConfig:
    """The description of an exported encoder, its files being there and the ones it was written for.

    Raises:
        InputError: the description or a file is missing or damaged.
    """
    config = OnnxConfig.from_dict(read_config(folder), origin=str(folder / CONFIG))
    for name, expected in config.sha256.items():
        path = folder / Path(name).name
        if not path.is_file():
            raise InputError(
                f"{folder} lacks {name}, which its {CONFIG} names; copy the whole folder or {EXPORT_AGAIN}."
            )
        try:
            found = sha256_of(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
        if found != expected:
            raise InputError(
                f"{path} is damaged, or of another export than {CONFIG} (sha256 {found[:16]}... where "
                f"{expected[:16]}... is expected); copy the whole folder again or {EXPORT_AGAIN}."
            )
    return config


def sha256_of(path: Path) -> str:
    """The sha256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def import_onnx(*names: str) -> list[Any]:
    """Modules of the extra `onnx`, by name.

    Raises:
        InputError: one is not installed; names the pip command.
    """
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise InputError(
            f"ONNX needs the package {error.name or names[0]}, which is not installed: {INSTALL}."
        ) from error
