"""Where a graph is built: in this process and its workers, or on a Ray cluster, with the same result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.engines import Engine, LocalEngine, RayEngine
from easynlp_fashionklip.inference.encode import encode_images
from easynlp_fashionklip.inference.ray_encode import encode_images_on_ray
from easynlp_fashionklip.models.dual_encoder import DualEncoder

if TYPE_CHECKING:
    from spacy.language import Language

EngineName = Literal["local", "ray"]


def check_engine(name: str, ray_address: str) -> None:
    """Whether the settings go together.

    Raises:
        InputError: an address is given for the local engine.
    """
    if ray_address and name != "ray":
        raise InputError(f"--ray-address={ray_address} is of no use to the local engine; add --engine ray.")


def open_engine(name: str, nlp: Language, config: AppConfig, ray_address: str = "") -> Engine:
    """The engine that mines with `nlp`.

    Args:
        name: `local`, with `mining_processes` processes, or `ray`.
        nlp: pipeline from `load_spacy`.
        config: graph settings.
        ray_address: of a running cluster; '' starts one on this machine.

    Raises:
        InputError: Ray is not installed, its cluster cannot be reached, or the settings contradict each other.
    """
    check_engine(name, ray_address)
    return RayEngine(nlp, address=ray_address) if name == "ray" else LocalEngine(nlp, config.mining_processes)


def embed_pictures(
    name: str, model: DualEncoder, table: PairTable, config: AppConfig, ray_address: str = ""
) -> np.ndarray:
    """Embed the pictures of a table, float32 (N, d) of unit vectors, where the engine of that name works.

    Raises:
        InputError: a picture cannot be read, or see `open_engine`.
    """
    check_engine(name, ray_address)
    if name == "ray":
        return encode_images_on_ray(model, table, address=ray_address)
    return encode_images(model, table, workers=config.data_workers)
