"""A checkpoint folder in EasyNLP's and transformers' shape: found, read, and written atomically."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers.utils import cached_file

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.storage import telling_disk_errors, telling_tokenizer_errors
from easynlp_fashionklip.models.torch_file import first_line, read_torch_file

CONFIG = "config.json"
IN_CONFIG = "fashionklip_concepts"  # in it: that concepts.json and concepts.safetensors belong to the model
SAFETENSORS = "model.safetensors"
PYTORCH_BIN = "pytorch_model.bin"
_WRITING = ".writing-"

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, EOFError, SafetensorError, pickle.UnpicklingError)
"""What torch, safetensors and transformers raise for a checkpoint that is damaged or does not fit its config."""


def find_file(source: str | Path, name: str) -> Path | None:
    """Path of file `name` of a folder, or of a hub name (fetched or from its cache); None when it has no such file.

    Raises:
        InputError: when the hub cannot be reached.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    # Every checkpoint has config.json, so only there does a failed connection tell that the hub is out of reach; an
    # optional file that is not in the cache looks the same without a network.
    needed = name == CONFIG
    try:
        found = cached_file(
            str(source),
            name,
            _raise_exceptions_for_missing_entries=needed,
            _raise_exceptions_for_connection_errors=needed,
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{str(source)!r} is not a folder here and cannot be fetched from the Hugging Face hub "
            f"({first_line(error)}); give the path of a folder that holds the checkpoint."
        ) from error
    return Path(found) if found else None


def read_json(source: str | Path, name: str) -> dict[str, Any] | None:
    """The JSON object in file `name` of a checkpoint, None when there is no such file.

    Raises:
        InputError: if it is not a JSON object.
    """
    path = find_file(source, name)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({first_line(error)}); restore the file.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, not a JSON object; restore the file.")
    return content


def read_config(source: str | Path) -> dict[str, Any]:
    """config.json of a checkpoint.

    Raises:
        InputError: if there is none; the message says what is there instead.
    """
    config = read_json(source, CONFIG)
    if config is None:
        raise InputError(f"{source} has no {CONFIG}, so it is no checkpoint; {describe_content(source)}.")
    return config


def read_tensors(source: str | Path) -> dict[str, Tensor]:
    """All weights of a checkpoint on the CPU: model.safetensors when there is one, else pytorch_model.bin.

    Raises:
        InputError: if neither is there, or the file is damaged.
    """
    path = find_file(source, SAFETENSORS) or find_file(source, PYTORCH_BIN)
    if path is None:
        raise InputError(f"{source} has neither {SAFETENSORS} nor {PYTORCH_BIN}; {describe_content(source)}.")
    return read_tensor_file(path)


def read_tensor_file(path: Path, *, trust_pickle: bool = False) -> dict[str, Any]:
    """What a .safetensors or torch file holds: tensors by their keys, in a training checkpoint beside other things.

    Args:
        path: the file.
        trust_pickle: let a torch file run whatever program it holds, if it holds more than weights.

    Raises:
        InputError: if the file is damaged, is no dictionary, or holds more than weights and is not trusted.
    """
    if path.suffix == ".safetensors":
        try:
            return dict(safetensors.torch.load_file(path))
        except UNREADABLE as error:
            raise InputError(f"{path} is damaged ({first_line(error)}); copy or download it again.") from error
    state = read_torch_file(path, trust_pickle=trust_pickle)
    if not isinstance(state, Mapping):
        raise InputError(f"{path} holds a {type(state).__name__}, not a dictionary of weights.")
    return dict(state)


def _to_disk(path: Path) -> None:
    """Wait until a file is on the disk for good."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def describe_content(source: str | Path) -> str:
    """What a folder holds, for messages: "it holds a.json, b.txt" or "it is empty"."""
    folder = Path(source)
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if not names:
        return "it is empty" if folder.is_dir() else "see its page on the hub for what it holds"
    shown = ", ".join(names[:8])
    return f"it holds {shown}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def write_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write model.safetensors and, for EasyNLP, pytorch_model.bin with the same tensors.

    Raises:
        OSError: a file could not be written, be it that the disk is full.
    """
    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with telling_disk_errors():
        safetensors.torch.save_file(plain, folder / SAFETENSORS, metadata={"format": "pt"})
        torch.save(plain, folder / PYTORCH_BIN)
    shutil.copymode(folder / PYTORCH_BIN, folder / SAFETENSORS)  # safetensors makes files that only the owner reads


def write_folder(folder: str | Path, write: Callable[[Path], None], obsolete: Collection[str] = ()) -> None:
    """Let `write` fill a temporary folder, then move its files into `folder`, config.json last.

    Each file appears complete or not at all, and a new folder is recognised as a checkpoint only once it is whole.
    Files with the names in `obsolete` are removed before config.json is written.

    Raises:
        InputError: if the folder cannot be made or written.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for leftover in target.glob(f"{_WRITING}*"):  # of a process that was killed while it wrote
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=_WRITING) as temporary:
            with telling_tokenizer_errors():
                write(Path(temporary))
            paths = sorted(Path(temporary).iterdir(), key=lambda path: path.name == CONFIG)
            for path in paths:
                _to_disk(path)
            for path in paths:
                if path.name == CONFIG:
                    for name in obsolete:
                        (target / name).unlink(missing_ok=True)
                os.replace(path, target / path.name)
    except OSError as error:
        raise InputError(f"the checkpoint folder {target} cannot be written ({first_line(error)}).") from error
