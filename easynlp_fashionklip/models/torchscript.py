"""The tensors of a TorchScript archive, without its program.

`torch.jit.load` compiles the archive's code and calls the `__setstate__` of its classes, whose operators may write
files; for an archive from the internet that is too much. The parameters lie in it as a pickle of plain objects and raw
numbers, which are read here: every class of the archive becomes an object that only has attributes.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_CONSTANTS, _DATA = "constants.pkl", "data.pkl"
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive; False for anything else, unreadable files included."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.split("/", 1)[-1] == _CONSTANTS for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Every tensor of the archive's module under its state dict's key.

    Raises:
        pickle.UnpicklingError: it holds something else than modules and tensors; the message says what.
        OSError, ValueError, RuntimeError, KeyError, zipfile.BadZipFile: it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        folder = next((name for name in names if name.split("/", 1)[-1] == _DATA), _DATA)[: -len(_DATA)]
        order = f"{folder}byteorder"
        if order in names and archive.read(order).decode() != sys.byteorder:
            raise ValueError(f"its numbers are {archive.read(order).decode()}-endian, this machine's are not")
        module = _Reader(archive, folder).load()
    return _tensors(module)


class _Module:
    """An object of any class of the archive: attributes, and nothing that could run."""


class _Reader(pickle.Unpickler):
    """An unpickler whose only names are tensors, their storages, and `_Module` for every class of the archive."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(_stored(archive, f"{folder}{_DATA}")))
        self._archive = archive
        self._folder = folder
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Never imports: a name that is not known here is an error."""
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module.split(".")[0] == "__torch__":
            return type(name.rsplit(".", 1)[-1], (_Module,), {})
        known: dict[str, Callable[..., Any]] = {
            "torch._utils._rebuild_tensor_v2": lambda *given: _rebuild(*given),
            "torch._utils._rebuild_parameter": lambda data, *rest: data,
            "torch.jit._pickle.restore_type_tag": lambda value, tag: value,
            "collections.OrderedDict": lambda: OrderedDict(),
        }
        known["torch.device"] = lambda name: name
        for kind in ("intlist", "doublelist", "boollist", "tensorlist", "tensor_from_id"):
            known[f"torch.jit._pickle.build_{kind}"] = lambda value: value
        if f"{module}.{name}" not in known:
            raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {module}.{name}")
        return known[f"{module}.{name}"]

    def persistent_load(self, reference: Any) -> Tensor:
        """One storage as a flat tensor; `reference` is ("storage", dtype, key, device, number of values)."""
        _, dtype, key, _, count = reference
        if key not in self._storages:
            content = bytearray(_stored(self._archive, f"{self._folder}data/{key}"))
            self._storages[key] = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        storage = self._storages[key]
        if storage.dtype != dtype or len(storage) < count:
            raise ValueError(f"its storage {key} is cut short")
        return storage


def _rebuild(storage: Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any) -> Tensor:
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)  # raises beyond the storage's end


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of an entry; torch compresses none, and one that is could fill any memory."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"its entry {name} is compressed")
    return archive.read(name)


def _tensors(root: Any) -> dict[str, Tensor]:
    """Tensors by the path of attributes that leads to them; a module that has two paths is listed under one."""
    found: dict[str, Tensor] = {}
    waiting, seen = [("", root)], set[int]()
    while waiting:
        prefix, module = waiting.pop()
        if not isinstance(module, _Module) or id(module) in seen:
            continue
        seen.add(id(module))
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                found[f"{prefix}{name}"] = value
            else:
                waiting.append((f"{prefix}{name}.", value))
    return found
