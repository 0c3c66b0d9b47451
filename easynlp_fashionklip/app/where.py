"""Where a graph is built: in this process and its workers, or on a Ray cluster, with the same result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.engines import Engine, LocalEngine, RayEngine

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
