"""The graph on disk: graph.json and five Parquet files in a directory, written atomically, checked when read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.columns import Coded, Columns, write_columns
from easynlp_fashionklip.graph.csr import from_pairs, rows_of
from easynlp_fashionklip.graph.hierarchy import Hierarchy, closure_csr
from easynlp_fashionklip.graph.tables import GraphInfo, GraphTables, Mentions, PhraseTable, PrototypeColumns

GRAPH_FILE = "graph.json"
FORMAT_VERSION = 1
_REBUILD = "rebuild it with 'fashionklip graph build'"

_TEXTS = pa.list_(pa.string())
_COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "concepts.parquet": {
        "concept_id": pa.int64(),
        "phrase": pa.string(),
        "surface": pa.string(),
        "head": pa.string(),
        "depth": pa.int64(),
        "frequency": pa.int64(),
        "modifiers": _TEXTS,
    },
    "is_a.parquet": {"child_id": pa.int64(), "parent_id": pa.int64(), "primary": pa.bool_()},
    "mentions.parquet": {"product_id": pa.string(), "concept_id": pa.int64()},
    "products.parquet": {"product_id": pa.string()},
    "rare.parquet": {
        "product_id": pa.string(),
        "phrase": pa.string(),
        "surface": pa.string(),
        "head": pa.string(),
        "modifiers": _TEXTS,
    },
    "prototypes.parquet": {
        "concept_id": pa.int64(),
        "rank": pa.int32(),
        "image_id": pa.string(),
        "similarity": pa.float32(),
    },
}


# --------------------------------------------------------------------------------------------------------------- write


def write_graph(graph: GraphTables, directory: str | Path) -> None:
    """Write a graph so that `directory` holds the old graph or the new one, never a part of either.

    Raises:
        InputError: if `directory` is a file, or a non-empty directory that is no graph.
    """
    target = Path(directory).absolute()
    _check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        _write_files(graph, temporary)
        _swap(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_target(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; give a directory for the graph.")
    if target.is_dir() and any(target.iterdir()) and not (target / GRAPH_FILE).exists():
        raise InputError(f"{target} holds other files and no graph; give an empty or new directory for the graph.")


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _swap(temporary: Path, target: Path) -> None:
    """Put the new directory in place; killed between the two renames, `read_graph` brings the old one back."""
    previous = _previous(target)
    if target.exists():
        shutil.rmtree(previous, ignore_errors=True)
        target.rename(previous)
    try:
        temporary.rename(target)
    except OSError:
        if previous.exists():
            previous.rename(target)
        raise
    shutil.rmtree(previous, ignore_errors=True)


def _write_files(graph: GraphTables, folder: Path) -> None:
    counts = {
        "concepts": len(graph.concepts),
        "is_a": len(graph.hierarchy.child),
        "products": len(graph.product_ids),
        "mentions": len(graph.mention_concepts),
        "rare_mentions": len(graph.rare.product),
        "prototypes": len(graph.prototypes.concept),
    }
    description = {"format_version": FORMAT_VERSION, **asdict(graph.info), "counts": counts}
    (folder / GRAPH_FILE).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, columns in _arrow_columns(graph):
        write_columns(columns, folder / name)
    pa.default_memory_pool().release_unused()


def _arrow_columns(graph: GraphTables) -> Iterator[tuple[str, Columns]]:
    """Name and columns of one file after the other."""
    concepts, hierarchy, prototypes, rare = graph.concepts, graph.hierarchy, graph.prototypes, graph.rare
    products = pa.array(graph.product_ids, pa.string())
    yield (
        "concepts.parquet",
        {
            "concept_id": pa.array(np.arange(len(concepts), dtype=np.int64)),
            "phrase": pa.array(concepts.phrases, pa.string()),
            "surface": pa.array(concepts.surfaces, pa.string()),
            "head": pa.array(concepts.heads, pa.string()),
            "depth": pa.array(hierarchy.depth),
            "frequency": pa.array(graph.frequency),
            "modifiers": pa.array([list(own) for own in concepts.modifiers], _TEXTS),
        },
    )
    yield (
        "is_a.parquet",
        {
            "child_id": pa.array(hierarchy.child),
            "parent_id": pa.array(hierarchy.parent),
            "primary": pa.array(hierarchy.primary),
        },
    )
    yield (
        "mentions.parquet",
        {
            "product_id": Coded(rows_of(graph.mention_offsets), products),
            "concept_id": pa.array(graph.mention_concepts),
        },
    )
    yield "products.parquet", {"product_id": products}
    yield (
        "rare.parquet",
        {
            "product_id": Coded(rare.product, products),
            "phrase": Coded(rare.phrase, pa.array(rare.table.phrases, pa.string())),
            "surface": Coded(rare.phrase, pa.array(rare.table.surfaces, pa.string())),
            "head": Coded(rare.phrase, pa.array(rare.table.heads, pa.string())),
            "modifiers": Coded(rare.phrase, pa.array([list(own) for own in rare.table.modifiers], _TEXTS)),
        },
    )
    yield (
        "prototypes.parquet",
        {
            "concept_id": pa.array(prototypes.concept),
            "rank": pa.array(prototypes.rank),
            "image_id": pa.array(prototypes.image_ids, pa.string()),
            "similarity": pa.array(prototypes.similarity),
        },
    )


# ---------------------------------------------------------------------------------------------------------------- read


def read_graph(directory: str | Path) -> GraphTables:
    """Read and check a graph.

    Raises:
        InputError: naming the file and the remedy, if a file is missing, unreadable, of another format version, or has
            wrong columns, types or references.
    """
    folder = Path(directory).absolute()
    if not folder.exists() and _previous(folder).exists():
        _previous(folder).rename(folder)  # a save was killed between its two renames
    info = _read_info(folder)
    columns = {name: _read_columns(folder / name) for name in _COLUMNS}
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
        concepts=_phrases(concepts),
        frequency=concepts["frequency"],
        hierarchy=_hierarchy(folder / "is_a.parquet", columns["is_a.parquet"], concepts["depth"]),
        product_ids=product_ids,
        mention_offsets=offsets,
        mention_concepts=values,
        rare=_rare(folder / "rare.parquet", columns["rare.parquet"], product_ids, row),
        prototypes=_prototypes(folder / "prototypes.parquet", columns["prototypes.parquet"], count),
    )


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
        kind = int if one.name in ("min_frequency", "embedding_dim") else str
        value = described.get(one.name)
        _require(isinstance(value, kind) and not isinstance(value, bool), path, f"{one.name} is {value!r}")
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
    for name, kind in _COLUMNS[path.name].items():
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
    if kind in (pa.string(), _TEXTS):
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


def _phrases(columns: dict[str, Any]) -> PhraseTable:
    modifiers = [tuple(own) for own in columns["modifiers"]]
    return PhraseTable(columns["phrase"], columns["surface"], columns["head"], modifiers)


def _hierarchy(path: Path, columns: dict[str, Any], depth: np.ndarray) -> Hierarchy:
    for name in ("child_id", "parent_id"):
        _check_ids(path, columns[name], len(depth))
    try:
        closure_csr(columns["child_id"], columns["parent_id"], len(depth))
    except ValueError as error:
        raise InputError(f"{path}: {error} Remove the edges that close it, or {_REBUILD}.") from error
    return Hierarchy(columns["child_id"], columns["parent_id"], columns["primary"].astype(np.bool_), depth)


def _rare(path: Path, columns: dict[str, Any], product_ids: list[str], row: dict[str, int]) -> Mentions:
    first: dict[str, int] = {}
    for i, phrase in enumerate(columns["phrase"]):
        first.setdefault(phrase, i)
    compact = {phrase: i for i, phrase in enumerate(first)}
    phrase = np.array([compact[one] for one in columns["phrase"]], dtype=np.int64)
    table = _phrases(columns).take(list(first.values()))
    return Mentions(table, product_ids, _product_rows(path, columns["product_id"], row), phrase)


def _prototypes(path: Path, columns: dict[str, Any], count: int) -> PrototypeColumns:
    concept, rank = columns["concept_id"], columns["rank"]
    _check_ids(path, concept, count)
    order = np.lexsort((rank, concept))
    image_ids = [columns["image_id"][i] for i in order.tolist()]
    return PrototypeColumns(concept[order], rank[order], image_ids, columns["similarity"][order])
