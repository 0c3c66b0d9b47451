"""A file of weights opened: its state dict out of whatever is wrapped around it, and what the wrapping tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.checkpoint import read_tensor_file
from easynlp_fashionklip.models.torchscript import is_torchscript

STATE_DICT = "state_dict"
# What training programs put before every key: DistributedDataParallel, torch.compile, EasyNLP's applications.
EASYNLP_PREFIXES = ("open_clip.", "chinese_clip.")
_PREFIXES = ("module.", "_orig_mod.", *EASYNLP_PREFIXES)


@dataclass(frozen=True)
class Weights:
    """A state dict and where it comes from.

    Attributes:
        path: the file.
        state: tensors by their keys, without the prefixes of training programs.
        wrapper: names of what lay beside the state dict in a training checkpoint: epoch, name, optimizer, ...
        run: the name of the run that wrote a training checkpoint.
        prefixes: of training programs, which were before every key.
        torchscript: whether the file is a TorchScript archive.
        metadata: the text entries of a .safetensors file.
    """

    path: Path
    state: dict[str, Tensor]
    wrapper: frozenset[str] = frozenset()
    run: str = ""
    prefixes: tuple[str, ...] = ()
    torchscript: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_weights(path: Path, *, trust_pickle: bool = False) -> Weights:
    """Open a .pt, .bin or .safetensors file: a plain state dict, a training checkpoint, or a TorchScript archive.

    Raises:
        InputError: it is damaged, holds no weights, or asks for more than weights and is not trusted.
    """
    content = read_tensor_file(path, trust_pickle=trust_pickle)
    inner, wrapper = content, frozenset[str]()
    if isinstance(content.get(STATE_DICT), Mapping):
        inner, wrapper = dict(content[STATE_DICT]), frozenset(map(str, content)) - {STATE_DICT}
    run = content.get("name", "") if wrapper else ""
    state, prefixes = _without_prefixes(_tensors(inner, path))
    return Weights(
        path=path,
        state=state,
        wrapper=wrapper,
        run=run if isinstance(run, str) else "",
        prefixes=prefixes,
        torchscript=is_torchscript(path),
        metadata=_metadata(path),
    )


def _tensors(content: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    """The entries, each checked to be a plain tensor."""
    if not content:
        raise InputError(f"{path} holds no weights: it is an empty dictionary.")
    state: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise InputError(
                f"{path} holds a {type(value).__name__} under {key!r}, not a weight; give a file with a state dict, "
                f"plain or under {STATE_DICT!r}."
            )
        state[str(key)] = _plain(value, str(key), path)
    return state


def _without_prefixes(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    taken: list[str] = []
    while prefix := next((one for one in _PREFIXES if all(key.startswith(one) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
        taken.append(prefix)
    return state, tuple(taken)


def _plain(value: Tensor, key: str, path: Path) -> Tensor:
    """Refuse tensors that a few bytes can make as large as one likes, or that hold no numbers to compute with."""
    strided = value.layout == torch.strided and not value.is_quantized and value.device.type == "cpu"
    if not strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise InputError(f"{path} is damaged ({key} is not a plain tensor); copy or download it again.")
    return value.detach()


def _metadata(path: Path) -> dict[str, str]:
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is damaged ({error}); copy or download it again.") from error
