"""Engines that mine texts: in this process, in several, or on a Ray cluster, with the same result byte for byte."""

from easynlp_fashionklip.graph.engines.base import Engine
from easynlp_fashionklip.graph.engines.local import LocalEngine
from easynlp_fashionklip.graph.engines.ray_data import RayEngine

__all__ = ["Engine", "LocalEngine", "RayEngine"]
