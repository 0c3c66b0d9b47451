"""`fashionklip graph build` and `graph expand`: locked, resumed after a kill, written whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from spacy.language import Language
from tqdm import tqdm

from easynlp_fashionklip import distributed
from easynlp_fashionklip.app.data import open_pairs
from easynlp_fashionklip.app.graph import has_graph, product_ids_of
from easynlp_fashionklip.app.growth_checks import (
    fingerprint_of_graph,
    graph_pipeline,
    require_ids,
    require_same_settings,
)
from easynlp_fashionklip.app.where import EngineName, check_engine, open_engine
from easynlp_fashionklip.app.work_folder import Fingerprint, WorkFolder, fingerprint_of
from easynlp_fashionklip.config import AppConfig, parse_user_defined_parameters
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.picture_keys import picture_keys
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import attach_prototypes, build_graph
from easynlp_fashionklip.graph.growth import expand_graph
from easynlp_fashionklip.graph.lock import hold
from easynlp_fashionklip.graph.pipeline import load_spacy, pipeline_name
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.graph.tables import Pictures
from easynlp_fashionklip.inference.encode import encode_texts
from easynlp_fashionklip.inference.onnx_encoder import load_encoder
from easynlp_fashionklip.inference.ray_encode import encode_images_on_ray
from easynlp_fashionklip.models.digest import encoder_digest
from easynlp_fashionklip.models.dual_encoder import DualEncoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A catalogue on the command line: file, columns and, for a TSV, its schema."""

    catalog: Path
    text: str
    image: str
    input_schema: str | None = None

    def open(self, config: AppConfig) -> PairTable:
        """The checked table."""
        return open_pairs(self.catalog, config, text=self.text, image=self.image, input_schema=self.input_schema)


@dataclass(frozen=True)
class Where:
    """Where the work is done; see `app.where`."""

    engine: EngineName = "local"
    ray_address: str = ""


def build_command(source: Source, model: str, out: Path, *, settings: str = "", where: Where = Where()) -> ConceptGraph:
    """Mine a catalogue, choose prototypes, write the graph with its picture embeddings.

    Killed at any moment, the same command goes on where it was; changed inputs begin anew.

    Raises:
        InputError: the catalogue, the model or the folder cannot be used, or another process writes it.
    """
    config = parse_user_defined_parameters(settings)
    check_engine(where.engine, where.ray_address)
    with hold(out):
        if has_graph(out):
            raise InputError(
                f"--out={out} already holds a concept graph; give an empty folder, or add to it with "
                "'fashionklip graph expand'."
            )
        encoder = _encoder(model, config.image_size, config)
        nlp, table = load_spacy(config.spacy_model), source.open(config)
        work, fingerprint = WorkFolder(out), _fingerprint(table, config, nlp, encoder)
        ids = product_ids_of(table)
        with work.taken_up(fingerprint):
            with _bar(table) as bar:
                engine = work.engine(open_engine(where.engine, nlp, config, where.ray_address))
                graph = build_graph(table.texts(), ids, nlp, config.min_frequency, bar.update, engine)
            embeds = _embed(work, encoder, table, config, where)
        keys = picture_keys(table, every=True)  # they have to hold beside those of later catalogues
        graph = _with_prototypes(graph, encoder, model, Pictures(ids, keys, embeds), config)
        graph.save(out)
        work.remove()
    logger.info("%d concepts written to %s", len(graph), out)
    return graph


def expand_command(
    source: Source, folder: Path, *, model: str = "", settings: str = "", where: Where = Where()
) -> ConceptGraph:
    """Add a catalogue's products to a graph: as if it had been built from all at once, with every id kept.

    Products that the graph knows with the same picture are passed over, so that doing it twice changes nothing.

    Args:
        source: the new rows.
        folder: of the graph; it is replaced at one instant, when all is done.
        model: where the graph's encoder is now; '' takes the name it was built with.
        settings: what has no effect on the result, such as `data_workers`; all else is the graph's.
        where: where to work.

    Raises:
        InputError: the graph has no picture embeddings, the encoder, the pipeline or a setting is another one, another
            process writes the graph, or the catalogue cannot be used or has no product ids.
    """
    config = parse_user_defined_parameters(settings)
    check_engine(where.engine, where.ray_address)
    with hold(folder):
        graph = ConceptGraph.load(folder)
        require_same_settings(graph, folder, settings)
        encoder = _graph_encoder(graph, folder, model, config)
        nlp = graph_pipeline(graph, folder, config)
        table = source.open(config)
        require_ids(table.product_id_column, source.catalog, "--set product_id=COLUMN")
        table, keys = _unknown(graph, table)
        if not len(table):
            WorkFolder(folder).remove()  # of an expansion that was killed after it had written the graph
            logger.info("%s knows all products of %s already", folder, source.catalog)
            return graph
        work, fingerprint = WorkFolder(folder), _fingerprint(table, config, nlp, encoder, graph)
        with work.taken_up(fingerprint):
            embeds = _embed(work, encoder, table, config, where)
        pictures = Pictures(product_ids_of(table), keys, embeds)
        with _bar(table) as bar:
            engine = work.engine(open_engine(where.engine, nlp, config, where.ray_address))
            grown = expand_graph(
                graph, table.texts(), pictures, lambda prompts: _prompts(encoder, prompts), nlp, bar.update, engine
            )
        grown.save(folder)
        work.remove()
    logger.info("%d new concepts, %d in all, written to %s", len(grown) - len(graph), len(grown), folder)
    return grown


# ------------------------------------------------------------------------------------------------------------- parts


def _bar(table: PairTable) -> tqdm:
    return tqdm(total=len(table), desc="mining concepts", unit="text", disable=None)


def _encoder(model: str, image_size: int, config: AppConfig) -> DualEncoder:
    encoder = load_encoder(
        model, image_size=image_size, activation=config.clip_activation, trust_pickle=config.trust_pickle
    )
    encoder.to(distributed.local_device())
    return encoder


def _fingerprint(
    table: PairTable, config: AppConfig, nlp: Language, encoder: DualEncoder, graph: ConceptGraph | None = None
) -> Fingerprint:
    """What the parts of this very build depend on."""
    fingerprint = fingerprint_of(table, config, pipeline_name(nlp), encoder_digest(encoder), distributed.local_device())
    if graph is not None:
        fingerprint["graph"] = fingerprint_of_graph(graph)
    return fingerprint


def _embed(work: WorkFolder, encoder: DualEncoder, table: PairTable, config: AppConfig, where: Where) -> np.ndarray:
    if where.engine == "ray":  # nothing is kept of it: batches come from many machines in any order
        return encode_images_on_ray(encoder, table, address=where.ray_address)
    return work.encode(encoder, table, config.data_workers)


def _prompts(encoder: DualEncoder, prompts: Sequence[str]) -> np.ndarray:
    """The text encoder's own vectors: concepts in texts are for texts, and one that is new has none."""
    return encode_texts(encoder, prompts, encode=encoder.encode_text)


def _with_prototypes(
    graph: ConceptGraph, encoder: DualEncoder, model: str, pictures: Pictures, config: AppConfig
) -> ConceptGraph:
    graph = attach_prototypes(
        graph,
        _prompts(encoder, graph.prompts()),
        pictures.embeds,
        pictures.product_ids,
        scope=config.prototype_scope,
        encoder=model,
        num_candidates=config.num_candidates,
        num_prototypes=config.num_prototypes,
        diversity=config.mmr_diversity,
        duplicate_similarity=config.duplicate_similarity,
        picture_keys=pictures.keys,
        min_coherence=config.min_coherence,
    )
    return graph.with_pictures(
        pictures,
        encoder_digest=encoder_digest(encoder),
        image_size=encoder.processor.image_size,
        num_candidates=config.num_candidates,
        num_prototypes=config.num_prototypes,
        mmr_diversity=config.mmr_diversity,
        duplicate_similarity=config.duplicate_similarity,
        min_coherence=config.min_coherence,
    )


def _graph_encoder(graph: ConceptGraph, folder: Path, model: str, config: AppConfig) -> DualEncoder:
    """The encoder that a graph was built with.

    Raises:
        InputError: the graph has no picture embeddings, or these weights are others.
    """
    if graph.tables.pictures is None:
        remedy = "add --texts" if not graph.info.encoder else "build it again with 'fashionklip graph build'"
        raise InputError(f"{folder} has no picture embeddings, which choosing prototypes needs; {remedy}.")
    name = model or graph.info.encoder
    encoder = _encoder(name, graph.info.image_size, config)
    if encoder_digest(encoder) != graph.info.encoder_digest:
        raise InputError(
            f"{name} is not the encoder that {folder} was built with ({graph.info.encoder} as it was then): embeddings "
            "of two encoders cannot be compared; give that one with --model, or build the graph again."
        )
    return encoder


def _unknown(graph: ConceptGraph, table: PairTable) -> tuple[PairTable, np.ndarray]:
    """The rows whose product and picture the graph does not know together, and the keys of their pictures."""
    keys = picture_keys(table, every=True)
    pictures = graph.tables.pictures
    known = set(zip(pictures.product_ids, pictures.keys.tolist(), strict=True)) if pictures is not None else set()
    pairs: Sequence[tuple[str, int]] = list(zip(product_ids_of(table), keys.tolist(), strict=True))
    new = np.array([row for row, pair in enumerate(pairs) if pair not in known], dtype=np.int64)
    if len(new) < len(table):
        logger.info("%d of %d rows are in the graph already", len(table) - len(new), len(table))
    return table.subset(new), keys[new]
