"""What must hold for a graph to grow exactly: the same pipeline and settings, and products that can be told apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

from spacy.language import Language

from easynlp_fashionklip.config import AppConfig, config_from_mapping, split_parameters
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.pipeline import load_spacy, pipeline_name
from easynlp_fashionklip.graph.store import ConceptGraph

_OF_EVERY_GRAPH = ("min_frequency",)
_OF_PROTOTYPES = (
    "image_size",
    "num_candidates",
    "num_prototypes",
    "mmr_diversity",
    "prototype_scope",
    "duplicate_similarity",
    "min_coherence",
)


def graph_pipeline(graph: ConceptGraph, folder: Path, config: AppConfig) -> Language:
    """The spaCy pipeline that a graph was mined with.

    Raises:
        InputError: it is not installed, or in another version.
    """
    wanted = graph.info.spacy_pipeline
    nlp = load_spacy(config.spacy_model or wanted.partition(" ")[0])
    if pipeline_name(nlp) != wanted:
        raise InputError(
            f"{folder} was mined with the spaCy pipeline {wanted}, here is {pipeline_name(nlp)}: the same text would "
            "give other concepts; install that version, or build the graph again."
        )
    return nlp


def require_same_settings(graph: ConceptGraph, folder: Path, settings: str) -> None:
    """Whether the settings that are given leave the graph what it is.

    Raises:
        InputError: one of them is another than the graph was built with; names both values.
    """
    given = split_parameters(settings)
    config = config_from_mapping(given)
    names = _OF_EVERY_GRAPH if graph.tables.pictures is None else _OF_EVERY_GRAPH + _OF_PROTOTYPES
    for name in names:
        asked, known = getattr(config, name), getattr(graph.info, name)
        if name in given and asked != known and not (name == "image_size" and asked == 0):
            raise InputError(
                f"{folder} was built with {name}={known}, which growing keeps: leave out {name}={asked}, "
                "or build the graph again with it."
            )


def require_ids(column: str | None, path: Path, remedy: str) -> None:
    """Whether products have ids: row numbers would be those of the graph's first products.

    Raises:
        InputError: there is no column of ids; names the flag that gives one.
    """
    if column is None:
        raise InputError(
            f"{path} has no column of product ids, without which its products cannot be told from the graph's; "
            f"name one with {remedy}, or add it."
        )


def fingerprint_of_graph(graph: ConceptGraph) -> str:
    """What the parts of an expansion depend on: which products the graph knows."""
    digest = hashlib.blake2b(digest_size=16)
    for product_id in graph.tables.product_ids:
        digest.update(product_id.encode("utf-8", "surrogatepass") + b"\0")
    return f"{len(graph)} concepts, {len(graph.tables.product_ids)} products, {digest.hexdigest()}"
