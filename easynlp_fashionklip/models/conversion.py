"""Checkpoint key maps: ordered, reversible data, one entry per module of a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class KeyMap:
    """Renames the keys of a state dict by their prefixes.

    Attributes:
        prefixes: pairs (prefix in the source layout, prefix in the target layout); each source prefix ends with a dot.
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


# Position of each convolution in tonylins' `conv` sequence and its name in transformers' MobileNetV2; the batch norm
# follows its convolution, and a ReLU6 without parameters takes the next position.
_STEM_CONVOLUTIONS = ((0, "conv_3x3"), (3, "reduce_1x1"))
_BLOCK_CONVOLUTIONS = ((0, "expand_1x1"), (3, "conv_3x3"), (6, "reduce_1x1"))
_NUM_BLOCKS = 16


def _convolution(source: str, position: int, target: str) -> Iterator[tuple[str, str]]:
    yield f"{source}.{position}.", f"{target}.convolution."
    yield f"{source}.{position + 1}.", f"{target}.normalization."


def _mobilenet_v2_prefixes() -> Iterator[tuple[str, str]]:
    yield from _convolution("features.0", 0, "conv_stem.first_conv")
    for position, name in _STEM_CONVOLUTIONS:
        yield from _convolution("features.1.conv", position, f"conv_stem.{name}")
    for block in range(_NUM_BLOCKS):
        for position, name in _BLOCK_CONVOLUTIONS:
            yield from _convolution(f"features.{block + 2}.conv", position, f"layer.{block}.{name}")
    yield from _convolution(f"features.{_NUM_BLOCKS + 2}", 0, "conv_1x1")


TONYLINS_MOBILENET_V2 = KeyMap(tuple(_mobilenet_v2_prefixes()), dropped=("classifier.",))
"""tonylins/pytorch-mobilenet-v2 -> `transformers.MobileNetV2Model` (width 1.0)."""
