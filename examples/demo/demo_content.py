"""Gathers what the report shows from the folder that the demo's commands have filled."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from demo_report import ConceptNode, DemoContent, Found, Picture, QueryResult, Stage
from PIL import Image

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.images import open_image
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.graph.prototypes import image_ids_of
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.inference.encode import encode_images, encode_texts
from easynlp_fashionklip.models.zoo import load_pretrained

NUM_QUERIES, TOP = 10, 5
ROOTS_SHOWN, KINDS_SHOWN, PROTOTYPES_SHOWN = 2, (3, 2), 6
SAMPLES_SHOWN = 14
THUMBNAIL = 128
Query = dict[str, Any]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def table_of(folder: Path, split: str) -> PairTable:
    """One split of the drawn catalogue."""
    return PairTable(open_catalogue(folder / f"{split}.csv"), "caption", "image", "product_id")


def picture_of(table: PairTable, position: int) -> Picture:
    """A row's picture as a small JPEG, with its caption."""
    pair = table.pair(position)
    if pair.image is None:
        raise ValueError(f"{table.where(position)} has no picture")
    image = open_image(pair.image)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, format="JPEG", quality=85)
    return Picture(encoded.getvalue(), pair.text)


def evenly_spaced(items: Sequence[Query], count: int) -> list[Query]:
    """`count` of the items at even distances, or all of them."""
    if len(items) <= count:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


def search(model_folder: Path, table: PairTable, queries: Sequence[Query]) -> np.ndarray:
    """Cosine similarity of each query to each picture of the table, float32 (Q, N)."""
    model = load_pretrained(model_folder)
    texts = encode_texts(model, [query["query_text"] for query in queries])
    similarity: np.ndarray = texts @ encode_images(model, table, description="searching").T
    return similarity


def hit_shares(order: np.ndarray, relevant: np.ndarray) -> tuple[int, float, float]:
    """Number of queries, and the percentage with a hit first and among the first `TOP`.

    Args:
        order: int (Q, N), pictures from nearest to farthest.
        relevant: bool (Q, N).
    """
    ranked = np.take_along_axis(relevant, order, axis=1)
    return len(order), 100 * float(ranked[:, 0].mean()), 100 * float(ranked[:, :TOP].any(axis=1).mean())


def query_results(
    table: PairTable, queries: Sequence[Query], similarity: np.ndarray
) -> tuple[list[QueryResult], tuple[int, float, float]]:
    """Ten queries with their nearest pictures, and `hit_shares` of all."""
    ids = [table.product_id(position) for position in range(len(table))]
    relevant = np.array([np.isin(ids, query["item_ids"]) for query in queries])
    order = np.argsort(-similarity, axis=1, kind="stable")
    answered = [query for query in queries if len(query["item_ids"]) > 1]
    results = []
    for query in evenly_spaced(answered, NUM_QUERIES):
        row = queries.index(query)
        nearest = order[row, :TOP].tolist()
        found = [Found(picture_of(table, i), float(similarity[row, i]), bool(relevant[row, i])) for i in nearest]
        results.append(QueryResult(query["query_text"], len(query["item_ids"]), found))
    return results, hit_shares(order, relevant)


class GraphExcerpt:
    """Cuts a readable piece out of a concept graph along its primary edges."""

    def __init__(self, graph: ConceptGraph, table: PairTable) -> None:
        self.graph = graph
        self.table = table
        names = image_ids_of([table.product_id(position) for position in range(len(table))])
        self._position = {name: position for position, name in enumerate(names)}

    def kinds(self, concept_id: int) -> list[int]:
        """Children whose primary parent is this concept: those with kinds of their own first, then by frequency."""
        own = [i for i in self.graph.children(concept_id) if self.graph.primary_parent(i) == concept_id]
        return sorted(own, key=lambda i: (not self.graph.children(i), -self.graph.concepts[i].frequency, i))

    def best_roots(self, count: int = ROOTS_SHOWN) -> list[int]:
        """The roots with the most grandchildren, of equals those mentioned most."""
        roots = [concept.concept_id for concept in self.graph.concepts if concept.depth == 0]
        return sorted(roots, key=self._richness, reverse=True)[:count]

    def _richness(self, concept_id: int) -> tuple[int, int]:
        grandchildren = sum(len(self.kinds(kind)) for kind in self.kinds(concept_id))
        return grandchildren, self.graph.concepts[concept_id].frequency

    def node(self, concept_id: int, levels: Sequence[int] = KINDS_SHOWN) -> ConceptNode:
        """A concept with its prototypes and, for each level below, at most so many kinds."""
        concept, kinds = self.graph.concepts[concept_id], self.kinds(concept_id)
        shown = kinds[: levels[0]] if levels else []
        prototypes = self.graph.prototypes(concept_id)[:PROTOTYPES_SHOWN]
        return ConceptNode(
            concept.surface,
            concept.frequency,
            [picture_of(self.table, self._position[one.image_id]) for one in prototypes],
            [self.node(kind, levels[1:]) for kind in shown],
            len(kinds) - len(shown) if levels else 0,
        )


def summary_of(sample: Path, graph: ConceptGraph) -> dict[str, str]:
    """Facts about catalogue and graph."""
    sizes = {split: len(table_of(sample, split)) for split in ("train", "valid", "test")}
    texts = list(table_of(sample, "train").texts())
    words = float(np.mean([len(text.split()) for text in texts]))
    return {
        "products": ", ".join(f"{split} {size:,}" for split, size in sizes.items()),
        "training captions": f"{len(set(texts)):,} distinct of {len(texts):,}, {words:.1f} words on average",
        "concept graph": f"{len(graph):,} concepts, {len(graph.tables.hierarchy.child):,} is-a edges, "
        f"{len(graph.tables.prototypes.concept):,} prototypes",
        "encoder": "starter: MobileNetV2 (ImageNet) and all-MiniLM-L6-v2 (frozen here) with new projections",
    }


def collect_content(out: Path, stages: Sequence[Stage]) -> DemoContent:
    """Everything the report shows, from the folder that the stages have filled."""
    sample = out / "catalogue"
    train, test = table_of(sample, "train"), table_of(sample, "test")
    queries = read_lines(sample / "test_queries.jsonl")
    results, shares = query_results(test, queries, search(out / "model", test, queries))
    graph = ConceptGraph.load(out / "graph")
    excerpt = GraphExcerpt(graph, train)
    return DemoContent(
        history=read_lines(out / "model" / "log" / "metrics.jsonl"),
        before=read_json(out / "before.json"),
        after=read_json(out / "after.json"),
        queries=results,
        query_hits=shares,
        concepts=[excerpt.node(root) for root in excerpt.best_roots()],
        summary=summary_of(sample, graph),
        samples=[picture_of(train, position) for position in range(min(SAMPLES_SHOWN, len(train)))],
        stages=stages,
    )
