"""What the graph's files hold: names and types of their columns, and the columns of a graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from easynlp_fashionklip.graph.columns import Coded, Columns
from easynlp_fashionklip.graph.csr import rows_of
from easynlp_fashionklip.graph.tables import GraphTables, PhraseTable

TEXTS = pa.list_(pa.string())
SCHEMA: dict[str, dict[str, pa.DataType]] = {
    "concepts.parquet": {
        "concept_id": pa.int64(),
        "phrase": pa.string(),
        "surface": pa.string(),
        "head": pa.string(),
        "depth": pa.int64(),
        "frequency": pa.int64(),
        "modifiers": TEXTS,
    },
    "is_a.parquet": {"child_id": pa.int64(), "parent_id": pa.int64(), "primary": pa.bool_()},
    "mentions.parquet": {"product_id": pa.string(), "concept_id": pa.int64()},
    "products.parquet": {"product_id": pa.string()},
    "rare.parquet": {
        "product_id": pa.string(),
        "phrase": pa.string(),
        "surface": pa.string(),
        "head": pa.string(),
        "modifiers": TEXTS,
    },
    "prototypes.parquet": {
        "concept_id": pa.int64(),
        "rank": pa.int32(),
        "image_id": pa.string(),
        "similarity": pa.float32(),
    },
    "spellings.parquet": {"phrase": pa.string(), "surface": pa.string(), "count": pa.int64()},
    "pictures.parquet": {"image_id": pa.string(), "product_id": pa.string(), "picture_key": pa.int64()},
}


def graph_columns(graph: GraphTables) -> Iterator[tuple[str, Columns]]:
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
            "modifiers": pa.array([list(own) for own in concepts.modifiers], TEXTS),
            **({} if graph.coherence is None else {"coherence": pa.array(graph.coherence, from_pandas=True)}),
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
    yield "spellings.parquet", _spelling_columns(concepts, rare.table)
    yield (
        "rare.parquet",
        {
            "product_id": Coded(rare.product, products),
            "phrase": Coded(rare.phrase, pa.array(rare.table.phrases, pa.string())),
            "surface": Coded(rare.phrase, pa.array(rare.table.surfaces, pa.string())),
            "head": Coded(rare.phrase, pa.array(rare.table.heads, pa.string())),
            "modifiers": Coded(rare.phrase, pa.array([list(own) for own in rare.table.modifiers], TEXTS)),
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


def _spelling_columns(*tables: PhraseTable) -> Columns:
    """How often which phrase is spelt how, as far as it was counted; the commonest spelling of a phrase first."""
    rows = [
        (table.phrases[row], surface, count)
        for table in tables
        for row in range(len(table))
        for surface, count in table.spellings(row).items()
    ]
    phrases, surfaces, counts = zip(*rows, strict=True) if rows else ((), (), ())
    return {
        "phrase": pa.array(phrases, pa.string()),
        "surface": pa.array(surfaces, pa.string()),
        "count": pa.array(counts, pa.int64()),
    }
