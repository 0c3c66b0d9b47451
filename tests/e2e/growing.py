"""Commands that build and expand a graph, and what must be the same of two graphs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from easynlp_fashionklip.graph import ConceptGraph

SETTINGS = "num_prototypes=4 num_candidates=8 data_workers=0 mining_processes=1"


def build(catalog: Path, out: Path) -> list[str]:
    argv = ["graph", "build", "--catalog", str(catalog), "--text", "caption", "--image", "image", "--model", "tiny"]
    return [*argv, "--out", str(out), "--set", SETTINGS]


def expand(catalog: Path, graph: Path, *more: str) -> list[str]:
    argv = ["graph", "expand", "--catalog", str(catalog), "--text", "caption", "--image", "image"]
    return [*argv, "--graph", str(graph), "--set", "data_workers=0 mining_processes=1", *more]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def described(graph: ConceptGraph) -> dict[str, object]:
    """By phrase, as new concepts have other numbers."""
    tables = graph.tables
    phrases, is_a = tables.concepts.phrases, tables.hierarchy
    offsets, mentions = graph.mentions_of(tables.product_ids)
    return {
        "edges": {(phrases[a], phrases[b]) for a, b in zip(is_a.child, is_a.parent, strict=True)},
        "frequency": dict(zip(phrases, tables.frequency.tolist(), strict=True)),
        "mentions": {
            product: sorted(phrases[one] for one in mentions[offsets[row] : offsets[row + 1]])
            for row, product in enumerate(tables.product_ids)
        },
        "prototypes": {phrase: [(p.image_id, p.rank) for p in graph.prototypes(i)] for i, phrase in enumerate(phrases)},
    }


def write_texts(path: Path, texts: list[str], first: int = 0) -> Path:
    pq.write_table(pa.table({"id": [f"p{first + row}" for row in range(len(texts))], "text": texts}), path)
    return path


def by_texts(command: str, texts: Path, folder: Path) -> list[str]:
    where = ["--out", str(folder)] if command == "build" else ["--graph", str(folder)]
    return ["graph", command, "--texts", str(texts), "--text", "text", *where, "--set", "mining_processes=1"]
