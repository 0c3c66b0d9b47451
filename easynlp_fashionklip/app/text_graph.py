"""`fashionklip graph build --texts`: a concept graph of texts alone, without pictures and prototypes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from easynlp_fashionklip.app.graph import has_graph
from easynlp_fashionklip.app.where import EngineName, open_engine
from easynlp_fashionklip.config import parse_user_defined_parameters
from easynlp_fashionklip.data.texts import TextTable, open_texts
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.pipeline import load_spacy
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
    if has_graph(out):
        raise InputError(f"--out={out} already holds a concept graph; give an empty folder, or remove it.")
    table = open_texts(texts, [name.strip() for name in columns.split(",") if name.strip()], product_id)
    nlp = load_spacy(config.spacy_model)
    product_ids: list[str] = []
    with tqdm(total=len(table), desc="mining concepts", unit="text", disable=None) as bar:
        graph = build_graph(
            _texts(table, product_ids),
            product_ids,
            nlp,
            config.min_frequency,
            bar.update,
            open_engine(engine, nlp, config, ray_address),
        )
    graph.save(out)
    logger.info("%d concepts written to %s; it has no prototypes, as there were no pictures", len(graph), out)
    return graph


def _texts(table: TextTable, product_ids: list[str]) -> Iterator[str]:
    """The texts in order, noting whose they are."""
    for product_id, text in table.rows():
        product_ids.append(product_id)
        yield text
