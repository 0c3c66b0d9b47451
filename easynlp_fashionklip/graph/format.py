"""The graph on disk: graph.json and five Parquet files in a directory, written atomically, checked when read."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.columns import write_columns
from easynlp_fashionklip.graph.csr import from_pairs
from easynlp_fashionklip.graph.directory import read_directory, replace_directory
from easynlp_fashionklip.graph.hierarchy import Hierarchy, closure_csr
from easynlp_fashionklip.graph.pictures import EMBEDDINGS, open_embeddings, write_pictures
from easynlp_fashionklip.graph.schema import SCHEMA, TEXTS, graph_columns
from easynlp_fashionklip.graph.tables import (
    SELECTION_FIELDS,
    UNKNOWN_COUNT,
    GraphInfo,
    GraphTables,
    Mentions,
    PhraseTable,
    Pictures,
    PrototypeColumns,
)

GRAPH_FILE = "graph.json"
FORMAT_VERSION = 1
_REBUILD = "rebuild it with 'fashionklip graph build'"

# What the first graphs of this version did not have, and those without embeddings do not.
_OPTIONAL = ("spellings.parquet", "pictures.parquet")


# --------------------------------------------------------------------------------------------------------------- write


def write_graph(graph: GraphTables, directory: str | Path) -> None:
    """Write a graph so that `directory` holds the old graph or the new one, never a part of either.

    Waits while another process writes the same graph.

    Raises:
        InputError: if `directory` is a file, or a non-empty directory that is no graph, or the disk is full.
    """
    target = Path(directory).resolve()
    _check_target(target)
    replace_directory(target, lambda folder: _write_files(graph, folder))


def _check_target(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; give a directory for the graph.")
    if target.is_dir() and any(target.iterdir()) and not (target / GRAPH_FILE).exists():
        raise InputError(f"{target} holds other files and no graph; give an empty or new directory for the graph.")


def _write_files(graph: GraphTables, folder: Path) -> None:
    counts = {
        "concepts": len(graph.concepts),
        "is_a": len(graph.hierarchy.child),
        "products": len(graph.product_ids),
        "mentions": len(graph.mention_concepts),
        "rare_mentions": len(graph.rare.product),
        "prototypes": len(graph.prototypes.concept),
        "pictures": 0 if graph.pictures is None else len(graph.pictures),
    }
    description = {"format_version": FORMAT_VERSION, **asdict(graph.info), "counts": counts}
    (folder / GRAPH_FILE).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, columns in graph_columns(graph):
        write_columns(columns, folder / name)
    if graph.pictures is not None:
        write_pictures(graph.pictures, folder)
    pa.default_memory_pool().release_unused()


# ---------------------------------------------------------------------------------------------------------------- read


def read_graph(directory: str | Path) -> GraphTables:
    """Read and check a graph.

    Raises:
        InputError: naming the file and the remedy, if a file is missing, unreadable, of another format version, or has
            wrong columns, types or references.
    """
    return read_directory(Path(directory).absolute(), _read_files)


def _read_files(folder: Path) -> GraphTables:
    info = _read_info(folder)
    columns = {name: _read_columns(folder / name) for name in SCHEMA if name not in _OPTIONAL}
    spelt = _read_spellings(folder / "spellings.parquet")
    concepts = columns["concepts.parquet"]
    count = len(concepts["phrase"])
    path = folder / "concepts.parquet"
    _require(np.array_equal(concepts["concept_id"], np.arange(count)), path, "concept_id is not 0, 1, 2, ... in order")
    _require(len(set(concepts["phrase"])) == count, path, "a phrase is there twice")
    mentions = columns["mentions.parquet"]
    product_ids = list(columns["products.parquet"]["product_id"])
    row = {product_id: i for i, product_id in enumerate(product_ids)}
    _check_ids(folder / "mentions.parquet", mentions["concept_id"], count)
    product = _product_rows(folder / "mentions.parquet", mentions["product_id"], row)
    offsets, values = from_pairs(product, mentions["concept_id"], len(product_ids))
    return GraphTables(
        info=info,
        concepts=_phrases(concepts, spelt),
        frequency=concepts["frequency"],
        hierarchy=_hierarchy(folder / "is_a.parquet", columns["is_a.parquet"], concepts["depth"]),
        product_ids=product_ids,
        mention_offsets=offsets,
        mention_concepts=values,
        rare=_rare(folder / "rare.parquet", columns["rare.parquet"], product_ids, row, spelt),
        prototypes=_prototypes(folder / "prototypes.parquet", columns["prototypes.parquet"], count),
        pictures=_read_pictures(folder, info),
        coherence=_read_coherence(path),
    )


def _read_coherence(path: Path) -> np.ndarray | None:
    """The column of concepts.parquet that graphs have whose pictures were looked at; empty cells are nan."""
    if "coherence" not in pq.read_schema(path).names:
        return None
    column = pq.read_table(path, columns=["coherence"]).column("coherence")
    _require(_suits(column.type, pa.float32()), path, f"column 'coherence' is {column.type}, not {pa.float32()}")
    return column.cast(pa.float32()).to_numpy().astype(np.float32)


def _require(condition: bool, path: Path, fault: str) -> None:
    if not condition:
        raise InputError(f"{path}: {fault}; {_REBUILD} or restore the file.")


def _read_info(folder: Path) -> GraphInfo:
    path = folder / GRAPH_FILE
    if not path.is_file():
        raise InputError(f"{folder} holds no concept graph (no graph.json); {_REBUILD} or give another graph_dir.")
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); {_REBUILD}.") from error
    version = described.get("format_version") if isinstance(described, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(f"{path} has format_version {version!r}, this release reads {FORMAT_VERSION}; {_REBUILD}.")
    values = {}
    for one in fields(GraphInfo):
        if one.name in described or one.name not in SELECTION_FIELDS:
            value = described.get(one.name)
            kind = int if one.name == "min_frequency" else type(one.default)
            _require(type(value) is kind, path, f"{one.name} is {value!r}")
            values[one.name] = value
    return GraphInfo(**values)


def _read_columns(path: Path) -> dict[str, Any]:
    """Columns of one file: numpy arrays of numbers, lists of texts, product ids of mentions as a dictionary array."""
    _require(path.is_file(), path, "is missing")
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet ({error}); {_REBUILD} or restore the file.") from error
    read: dict[str, Any] = {}
    for name, kind in SCHEMA[path.name].items():
        _require(name in table.column_names, path, f"has no column {name!r}")
        column = table.column(name)
        _require(_suits(column.type, kind), path, f"column {name!r} is {column.type}, not {kind}")
        _require(column.null_count == 0, path, f"column {name!r} has empty cells")
        read[name] = _plain(column, kind, coded=name == "product_id" and path.name != "products.parquet")
    return read


def _plain(column: pa.ChunkedArray, kind: pa.DataType, coded: bool) -> np.ndarray | list[Any] | pa.DictionaryArray:
    if coded:
        codes = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        return pa.concat_arrays(codes.unify_dictionaries().chunks) if codes.num_chunks else pa.array([], codes.type)
    if kind in (pa.string(), TEXTS):
        return column.to_pylist()
    return column.cast(kind).to_numpy()


def _suits(found: pa.DataType, wanted: pa.DataType) -> bool:
    found = found.value_type if pa.types.is_dictionary(found) else found
    if pa.types.is_list(wanted):
        return bool(pa.types.is_list(found) or pa.types.is_large_list(found))
    for kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean):
        if kind(wanted):
            return bool(kind(found))
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found))


def _check_ids(path: Path, ids: np.ndarray, count: int) -> None:
    outside = ids[(ids < 0) | (ids >= count)]
    if len(outside):
        _require(False, path, f"concept id {outside[0]} is not in concepts.parquet")


def _product_rows(path: Path, product_ids: pa.DictionaryArray, row: dict[str, int]) -> np.ndarray:
    try:
        rows = [row[product_id] for product_id in product_ids.dictionary.to_pylist()]
        return np.array(rows, dtype=np.int64)[product_ids.indices.to_numpy()]
    except KeyError as error:
        raise InputError(f"{path}: product {error} is not in products.parquet; {_REBUILD}.") from error


def _read_spellings(path: Path) -> dict[str, dict[str, int]]:
    """Counts of the spellings by phrase; empty for a graph written before they were counted."""
    if not path.is_file():
        return {}
    columns = _read_columns(path)
    counts: dict[str, dict[str, int]] = {}
    for phrase, surface, count in zip(columns["phrase"], columns["surface"], columns["count"].tolist(), strict=True):
        counts.setdefault(phrase, {})[surface] = count
    return counts


def _phrases(columns: dict[str, Any], spelt: dict[str, dict[str, int]]) -> PhraseTable:
    phrases, surfaces = columns["phrase"], columns["surface"]
    modifiers = [tuple(own) for own in columns["modifiers"]]
    counts = [UNKNOWN_COUNT] * len(phrases)
    others: list[tuple[tuple[str, int], ...]] = [()] * len(phrases)
    for row, (phrase, surface) in enumerate(zip(phrases, surfaces, strict=True)):
        known = spelt.get(phrase, {})
        if surface in known:
            counts[row] = known[surface]
            others[row] = tuple((other, count) for other, count in known.items() if other != surface)
    return PhraseTable(phrases, surfaces, columns["head"], modifiers, counts, others)


def _read_pictures(folder: Path, info: GraphInfo) -> Pictures | None:
    """The pictures with their embeddings mapped from the file; None for a graph without."""
    path, embeddings = folder / "pictures.parquet", folder / EMBEDDINGS
    if not path.is_file() and not embeddings.is_file():
        return None
    columns = _read_columns(path)
    product_ids = columns["product_id"]
    product_ids = product_ids.dictionary.take(product_ids.indices).to_pylist()  # one text for what repeats
    embeds = open_embeddings(embeddings)
    wanted = (len(product_ids), info.embedding_dim)
    _require(embeds.shape == wanted, embeddings, f"has shape {embeds.shape}, not {wanted}")
    return Pictures(product_ids, columns["picture_key"], embeds)


def _hierarchy(path: Path, columns: dict[str, Any], depth: np.ndarray) -> Hierarchy:
    for name in ("child_id", "parent_id"):
        _check_ids(path, columns[name], len(depth))
    try:
        closure_csr(columns["child_id"], columns["parent_id"], len(depth))
    except ValueError as error:
        raise InputError(f"{path}: {error} Remove the edges that close it, or {_REBUILD}.") from error
    return Hierarchy(columns["child_id"], columns["parent_id"], columns["primary"].astype(np.bool_), depth)


def _rare(
    path: Path,
    columns: dict[str, Any],
    product_ids: list[str],
    row: dict[str, int],
    spelt: dict[str, dict[str, int]],
) -> Mentions:
    first: dict[str, int] = {}
    for i, phrase in enumerate(columns["phrase"]):
        first.setdefault(phrase, i)
    compact = {phrase: i for i, phrase in enumerate(first)}
    phrase = np.array([compact[one] for one in columns["phrase"]], dtype=np.int64)
    table = _phrases(columns, spelt).take(list(first.values()))
    return Mentions(table, product_ids, _product_rows(path, columns["product_id"], row), phrase)


def _prototypes(path: Path, columns: dict[str, Any], count: int) -> PrototypeColumns:
    concept, rank = columns["concept_id"], columns["rank"]
    _check_ids(path, concept, count)
    order = np.lexsort((rank, concept))
    image_ids = [columns["image_id"][i] for i in order.tolist()]
    return PrototypeColumns(concept[order], rank[order], image_ids, columns["similarity"][order])
