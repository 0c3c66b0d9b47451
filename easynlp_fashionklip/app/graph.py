"""The concept graph of a training run: loaded and grown, or built from the training table."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from easynlp_fashionklip import distributed
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import build_graph, grow_graph
from easynlp_fashionklip.graph.pipeline import load_spacy
from easynlp_fashionklip.graph.store import GRAPH_FILE, ConceptGraph
from easynlp_fashionklip.inference.encode import encode_images
from easynlp_fashionklip.training.knowledge import ConceptKnowledge, PrototypeSettings
from easynlp_fashionklip.training.task import FashionKLIPTask

logger = logging.getLogger(__name__)


def graph_folder(config: AppConfig, checkpoint_dir: str) -> Path:
    """`graph_dir`, or `<checkpoint_dir>/graph`."""
    return Path(config.graph_dir) if config.graph_dir else Path(checkpoint_dir) / "graph"


def has_graph(folder: Path) -> bool:
    """Whether a graph is there to load.

    Raises:
        InputError: the folder holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / GRAPH_FILE).is_file():
        raise InputError(f"graph_dir={folder} holds files but no {GRAPH_FILE}; give an empty folder or a graph's.")
    return True
