"""`fashionklip graph build --texts` and `graph expand --texts`: a concept graph of texts alone, without prototypes."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator
from pathlib import Path

from tqdm import tqdm

from easynlp_fashionklip.app.graph import has_graph
from easynlp_fashionklip.app.growth_checks import (
    fingerprint_of_graph,
    graph_pipeline,
    require_ids,
    require_same_settings,
)
from easynlp_fashionklip.app.where import EngineName, check_engine, open_engine
from easynlp_fashionklip.app.work_folder import WorkFolder, text_fingerprint
from easynlp_fashionklip.config import parse_user_defined_parameters
from easynlp_fashionklip.data.texts import TextTable, open_texts
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.lock import hold
from easynlp_fashionklip.graph.pipeline import load_spacy, pipeline_name
from easynlp_fashionklip.graph.store import ConceptGraph

logger = logging.getLogger(__name__)


def mine_texts_command(
    texts: Path,
    columns: str,
    product_id: str,
    out: Path,
    *,
    settings: str = "",
    engine: EngineName = "local",
    ray_address: str = "",
) -> ConceptGraph:
    """Mine a table's texts and write the graph.

    Args:
        texts: Parquet or CSV file.
        columns: names of the text columns, separated by commas.
        product_id: name of the id column; '' finds `product_id` or `id`.
        out: folder to write.
        settings: as in `--user_defined_parameters`.
        engine: where to mine.
        ray_address: see `app.where.open_engine`.

    Raises:
        InputError: the table, a setting or the folder cannot be used.
    """
    config = parse_user_defined_parameters(settings)
    check_engine(engine, ray_address)
    with hold(out):
        if has_graph(out):
            raise InputError(
                f"--out={out} already holds a concept graph; give an empty folder, or add to it with "
                "'fashionklip graph expand'."
            )
        table, nlp = _open(texts, columns, product_id), load_spacy(config.spacy_model)
        work = WorkFolder(out)
        product_ids: list[str] = []
        with work.taken_up(text_fingerprint(table, config, pipeline_name(nlp))), _bar(table) as bar:
            kept = work.engine(open_engine(engine, nlp, config, ray_address))
            rows = _texts(table, product_ids)
            graph = build_graph(rows, product_ids, nlp, config.min_frequency, bar.update, kept)
        graph.save(out)
        work.remove()
    logger.info("%d concepts written to %s; it has no prototypes, as there were no pictures", len(graph), out)
    return graph


def expand_texts_command(
    texts: Path,
    columns: str,
    product_id: str,
    folder: Path,
    *,
    settings: str = "",
    engine: EngineName = "local",
    ray_address: str = "",
) -> ConceptGraph:
    """Add a table's products to a graph without pictures; the ids of its concepts stay. Known products are passed over.

    Raises:
        InputError: as `mine_texts_command`; the graph has pictures, or was mined with another pipeline or setting, or
            the table has no product ids.
    """
    config = parse_user_defined_parameters(settings)
    check_engine(engine, ray_address)
    with hold(folder):
        graph = ConceptGraph.load(folder)
        if graph.info.encoder:
            raise InputError(
                f"{folder} has prototypes, which texts without pictures cannot grow; give --catalog and --image."
            )
        require_same_settings(graph, folder, settings)
        table = _open(texts, columns, product_id)
        require_ids(table.product_id_column, texts, "--id COLUMN")
        nlp = graph_pipeline(graph, folder, config)
        work = WorkFolder(folder)
        fingerprint = text_fingerprint(table, config, pipeline_name(nlp))
        fingerprint["graph"] = fingerprint_of_graph(graph)
        product_ids: list[str] = []
        with work.taken_up(fingerprint), _bar(table) as bar:
            kept = work.engine(open_engine(engine, nlp, config, ray_address))
            rows = _texts(table, product_ids, set(graph.tables.product_ids))
            grown = graph.expand(rows, product_ids, nlp, bar.update, kept)
        if product_ids:
            grown.save(folder)
        work.remove()
    logger.info("%d new concepts, %d in all, of %d new products", len(grown) - len(graph), len(grown), len(product_ids))
    return grown


def _open(texts: Path, columns: str, product_id: str) -> TextTable:
    return open_texts(texts, [name.strip() for name in columns.split(",") if name.strip()], product_id)


def _bar(table: TextTable) -> tqdm:
    return tqdm(total=len(table), desc="mining concepts", unit="text", disable=None)


def _texts(table: TextTable, product_ids: list[str], known: Container[str] = ()) -> Iterator[str]:
    """The texts of products that are not known, in order, noting whose they are."""
    for product_id, text in table.rows():
        if product_id not in known:
            product_ids.append(product_id)
            yield text
