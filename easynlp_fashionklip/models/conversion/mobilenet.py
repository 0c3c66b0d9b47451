"""The key map of MobileNetV2's weights by tonylins, which the zoo's `starter` begins with."""

from __future__ import annotations

from collections.abc import Iterator

from easynlp_fashionklip.models.conversion.key_map import KeyMap

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
