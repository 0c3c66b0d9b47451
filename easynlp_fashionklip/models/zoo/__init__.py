"""The pretrained encoders known by name, and how any encoder is loaded."""

from __future__ import annotations

from easynlp_fashionklip.models.packaged import PackagedFile, locate_file, sha256_of
from easynlp_fashionklip.models.zoo.cache import fetch, zoo_folder
from easynlp_fashionklip.models.zoo.loading import load_pretrained
from easynlp_fashionklip.models.zoo.records import STARTER, TINY, ZOO, Archive, ZooModel

__all__ = [
    "STARTER",
    "TINY",
    "ZOO",
    "Archive",
    "PackagedFile",
    "ZooModel",
    "fetch",
    "load_pretrained",
    "locate_file",
    "sha256_of",
    "zoo_folder",
]
