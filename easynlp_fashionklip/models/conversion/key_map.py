"""Checkpoint key maps: ordered, reversible data, one entry per module of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value")


@dataclass(frozen=True)
class KeyMap:
    """Renames the keys of a state dict by their prefixes.

    Attributes:
        prefixes: pairs (prefix in the source layout, prefix in the target layout); each source prefix ends with a dot,
            or is a whole key.
        dropped: source prefixes that have no counterpart and are left out, such as a classifier.
    """

    prefixes: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...] = ()

    def rename(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """The same values under the target layout's keys.

        Raises:
            KeyError: naming the first key that no prefix covers.
        """
        return {self._renamed(key): value for key, value in state.items() if not key.startswith(self.dropped)}

    def reversed(self) -> KeyMap:
        """The map from the target layout back to the source layout."""
        return KeyMap(tuple((target, source) for source, target in self.prefixes))

    def _renamed(self, key: str) -> str:
        for source, target in self.prefixes:
            if key.startswith(source):
                return target + key.removeprefix(source)
        raise KeyError(key)


@dataclass(frozen=True)
class TensorMap:
    """Carries a state dict into another layout and back: keys, matrices stored the other way round, packed tensors.

    Values pass unchanged, so that `restore(convert(state))` is `state` bit for bit.

    Attributes:
        keys: of everything that is one tensor in both layouts.
        transposed: source keys of the matrices that the target layout stores transposed.
        packed: pairs (source prefix, target prefixes): what the source keeps as one tensor, cut along its first
            dimension, such as the weights of query, key and value.
    """

    keys: KeyMap
    transposed: tuple[str, ...] = ()
    packed: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def convert(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Source layout -> target layout.

        Raises:
            KeyError: naming the first key that the map does not cover.
        """
        cut: dict[str, Tensor] = {}
        whole: dict[str, Tensor] = {}
        for key, value in state.items():
            parts = self._parts_of(key)
            if parts:
                cut.update(zip(parts, value.chunk(len(parts)), strict=True))
            else:
                whole[key] = value.T if key in self.transposed else value
        return self.keys.rename(whole) | cut

    def restore(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Target layout -> source layout.

        Raises:
            KeyError: naming the first key that the map does not cover, or a part of a packed tensor that is missing.
        """
        joined: dict[str, Tensor] = {}
        used: set[str] = set()
        for source, targets in self.packed:
            for key in [key for key in state if key.startswith(targets[0])]:
                rest = key.removeprefix(targets[0])
                parts = [target + rest for target in targets]
                joined[source + rest] = torch.cat([state[part] for part in parts])
                used.update(parts)
        whole = self.keys.reversed().rename({key: value for key, value in state.items() if key not in used})
        turned = {key: value.T if key in self.transposed else value for key, value in whole.items()}
        return turned | joined

    def _parts_of(self, key: str) -> list[str]:
        for source, targets in self.packed:
            if key.startswith(source):
                return [target + key.removeprefix(source) for target in targets]
        return []
