"""The concept graph of a training run: loaded and grown, or built from the training table."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from easynlp_fashionklip import distributed
from easynlp_fashionklip.app.frozen import keep_frozen_texts
from easynlp_fashionklip.app.where import EngineName, open_engine
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.pairs import PairTable, stable_key
from easynlp_fashionklip.data.picture_keys import picture_keys
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.csr import take_rows
from easynlp_fashionklip.graph.format import GRAPH_FILE
from easynlp_fashionklip.graph.matching import match_mined
from easynlp_fashionklip.graph.pipeline import load_spacy, pipeline_name
from easynlp_fashionklip.graph.prototypes import image_ids_of
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.inference.encode import encode_images_to
from easynlp_fashionklip.models.allocator import release_freed_memory
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


def product_ids_of(table: PairTable) -> list[str]:
    """Every row's product id."""
    return [table.product_id(position) for position in range(len(table))]


def mine_graph(
    table: PairTable, config: AppConfig, engine: EngineName = "local", ray_address: str = ""
) -> ConceptGraph:
    """Build a graph without prototypes from a table's texts, behind a bar; see `app.where` for the engine."""
    nlp = load_spacy(config.spacy_model)
    with tqdm(total=len(table), desc="mining concepts", unit="text", disable=None) as bar:
        miner = open_engine(engine, nlp, config, ray_address)
        return build_graph(table.texts(), product_ids_of(table), nlp, config.min_frequency, bar.update, miner)


def grow(graph: ConceptGraph, table: PairTable, config: AppConfig) -> ConceptGraph:
    """The graph with the products of the table that it has not met; itself when it knows them all."""
    known = {stable_key(product_id) for product_id in graph.tables.product_ids}
    new = [position for position, key in enumerate(table.product_keys.tolist()) if key not in known]
    if not new:
        return graph
    logger.info("the graph has not met %d of %d products: adding their concepts", len(new), len(table))
    rest = table.subset(new)
    before = len(graph)
    nlp = load_spacy(_spacy_model(graph, config))
    if not graph.info.spacy_pipeline:  # of an imported graph: from now on it is known
        info = replace(graph.info, spacy_pipeline=pipeline_name(nlp))
        graph = ConceptGraph(replace(graph.tables, info=info), nlp, graph.origin)
    grown = graph.expand(rest.texts(), product_ids_of(rest), nlp)
    logger.info("%d new concepts, %d in all", len(grown) - before, len(grown))
    return grown


def load_or_mine(folder: Path, table: PairTable, config: AppConfig, embed_dim: int) -> ConceptGraph:
    """The graph of a folder, grown by the table's new products; or one mined from the table.

    The first process works and hands it to the others. Nothing is written: that is `save_graph`'s, with prototypes.

    Raises:
        InputError: the folder holds something else, or a graph of another encoder dimension.
    """
    tables = None
    if distributed.rank() == 0:
        if has_graph(folder):
            logger.info("loading the concept graph %s", folder)
            graph = ConceptGraph.load(folder)
            graph.check_encoder(embed_dim)
            graph = grow(graph, table, config)
        else:
            logger.info("no concept graph in %s: building it from %s", folder, table.catalogue.path)
            graph = mine_graph(table, config)
        logger.info("%d concepts", len(graph))
        tables = graph.tables
        release_freed_memory()
    return ConceptGraph(distributed.broadcast_object(tables), origin=str(folder))


def text_mentions(graph: ConceptGraph, table: PairTable, config: AppConfig) -> tuple[np.ndarray, np.ndarray]:
    """(offsets N + 1, concepts) that each text of the table itself mentions, found as they will be in texts to come.

    Not those of the graph's product: it may have other texts, or have been mined from other columns.

    Raises:
        InputError: the pipeline that the graph was mined with is not installed.
    """
    found = None
    if distributed.rank() == 0:
        nlp = load_spacy(_spacy_model(graph, config))
        id_of = {phrase: number for number, phrase in enumerate(graph.tables.concepts.phrases)}
        with tqdm(total=len(table), desc="finding concepts in texts", unit="text", disable=None) as bar:
            found = match_mined(open_engine("local", nlp, config).mine(table.texts(), bar.update), id_of)
    mentions: tuple[np.ndarray, np.ndarray] = distributed.broadcast_object(found)
    return mentions


def shuffled(
    products: np.ndarray, mentions: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Both with their N rows in one other order, always the same, so that each row has another row's concepts."""
    order = np.random.default_rng(0).permutation(len(products))
    return products[order], None if mentions is None else take_rows(*mentions, order)


def _spacy_model(graph: ConceptGraph, config: AppConfig) -> str:
    """What `load_spacy` is to find: the pipeline of the settings, else that which mined the graph, if it is known."""
    return config.spacy_model or graph.info.spacy_pipeline.partition(" ")[0]


def prepare_graph(
    task: FashionKLIPTask, table: PairTable, config: AppConfig, checkpoint_dir: str, *, encode: bool = True
) -> None:
    """Give the task its concept knowledge: graph, picture embeddings, prototypes.

    Args:
        task: its encoder is on its device.
        table: the training table.
        config: graph settings.
        checkpoint_dir: where the graph is when `graph_dir` is not set.
        encode: fill the embedding bank and choose prototypes; a resume point brings both instead.

    Raises:
        InputError: the folder holds something else, or no concept is left to train with.
    """
    release_freed_memory()
    folder = graph_folder(config, checkpoint_dir)
    graph = load_or_mine(folder, table, config, task.model.embed_dim)
    settings = PrototypeSettings(
        config.num_candidates,
        config.num_prototypes,
        config.mmr_diversity,
        config.prototype_scope,
        config.duplicate_similarity,
        config.min_coherence,
        config.hierarchy,
        config.refresh_tolerance,
    )
    keys = distributed.broadcast_object(picture_keys(table) if distributed.rank() == 0 else None)
    mentions = text_mentions(graph, table, config) if config.concept_text_weight else None
    products = table.product_keys
    if config.shuffle_concepts:
        products, mentions = shuffled(products, mentions)
    knowledge = ConceptKnowledge(graph, products, settings, keys, mentions)
    _require_concepts(knowledge, table, config)
    task.attach(knowledge)
    keep_frozen_texts(task.prompts, knowledge.prompts().__getitem__, "encoding concepts once")
    release_freed_memory()
    if encode:
        _fill_bank(task, table, config)
        knowledge.measure_coherence(task.bank)
        _require_concepts(knowledge, table, config)
        task.refresh_prototypes()
        save_graph(task, table, config, checkpoint_dir)


def _require_concepts(knowledge: ConceptKnowledge, table: PairTable, config: AppConfig) -> None:
    if not knowledge.mentioned.any():
        raise InputError(
            f"none of the {knowledge.num_concepts:,} concepts of {knowledge.graph.origin} is mentioned in "
            f"{table.catalogue.path}; name the column that describes products, give another graph_dir, for texts that "
            "are not English a pipeline of their language with spacy_model, or train with cva=false."
        )
    if not knowledge.occurs.any():
        raise InputError(
            f"min_coherence={config.min_coherence} leaves none of {knowledge.num_concepts:,} concepts to train with; "
            "lower it, or train with cva=false."
        )


def _fill_bank(task: FashionKLIPTask, table: PairTable, config: AppConfig) -> None:
    """Embed all pictures, those that a frozen tower has seen without opening them."""
    if task.pictures.complete:
        task.pictures.fill(task.bank)
        return
    told = "encoding pictures for prototypes"
    encode_images_to(task.bank.update, task.model, table, workers=config.data_workers, description=told)


def save_graph(task: FashionKLIPTask, table: PairTable, config: AppConfig, checkpoint_dir: str) -> None:
    """Write the graph with its prototypes as the encoder now ranks them."""
    knowledge = task.knowledge
    if knowledge is None or knowledge.selected is None:
        return
    if distributed.rank() == 0:
        release_freed_memory()
        graph = knowledge.graph.with_prototypes(
            knowledge.selected,
            _names_of_pictures(table, knowledge.selected.image),
            encoder=config.pretrain_model_name_or_path,
            embedding_dim=task.model.embed_dim,
            scope=config.prototype_scope,
        )
        graph.save(graph_folder(config, checkpoint_dir))
        release_freed_memory()
    distributed.barrier()


def _names_of_pictures(table: PairTable, rows: np.ndarray) -> Mapping[int, str]:
    """The names (see `image_ids_of`) of the pictures of some rows."""
    keys = np.sort(table.product_keys)
    if (keys[1:] == keys[:-1]).any():
        return dict(enumerate(image_ids_of(product_ids_of(table))))
    return {row: table.product_id(row) for row in np.unique(rows).tolist()}
