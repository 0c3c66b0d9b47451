"""Weights of other programs' layouts to ours and back: key maps as data, files read, files written."""

from __future__ import annotations

from easynlp_fashionklip.models.conversion.key_map import KeyMap, TensorMap
from easynlp_fashionklip.models.conversion.mobilenet import TONYLINS_MOBILENET_V2

__all__ = ["TONYLINS_MOBILENET_V2", "KeyMap", "TensorMap"]
