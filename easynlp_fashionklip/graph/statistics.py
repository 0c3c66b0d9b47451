"""What a graph holds, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from easynlp_fashionklip.graph.store import ConceptGraph


@dataclass(frozen=True)
class GraphStatistics:
    """Counts of a graph; `mean_concepts` is over all products, `depths[d]` counts the concepts of depth d.

    `coherence_quantiles` are the deciles 0, 10, ..., 100 % of the visual coherences known, empty when none is;
    `least_coherent` are phrase, coherence and frequency of the concepts that pictures show least.
    """

    concepts: int
    roots: int
    is_a_edges: int
    products: int
    products_with_concepts: int
    mentions: int
    mean_concepts: float
    depths: list[int]
    top_heads: list[tuple[str, int]]
    top_concepts: list[tuple[str, int]]
    with_prototypes: int
    without_prototypes: int
    prototypes: int
    coherence_quantiles: list[float]
    least_coherent: list[tuple[str, float, int]]


def graph_statistics(graph: ConceptGraph, top: int = 20) -> GraphStatistics:
    """Count; the `top` commonest heads (by number of concepts) and concepts (by products), ties alphabetically."""
    tables = graph.tables
    per_product = np.diff(tables.mention_offsets)
    offsets, _ = graph.prototype_images()
    with_prototypes = int(np.count_nonzero(np.diff(offsets)))
    heads = Counter(tables.concepts.heads)
    concepts = dict(zip(tables.concepts.phrases, tables.frequency.tolist(), strict=True))
    return GraphStatistics(
        concepts=len(graph),
        roots=len(graph) - len(np.unique(tables.hierarchy.child)),
        is_a_edges=len(tables.hierarchy.child),
        products=len(per_product),
        products_with_concepts=int(np.count_nonzero(per_product)),
        mentions=len(tables.mention_concepts),
        mean_concepts=float(per_product.mean()) if len(per_product) else 0.0,
        depths=np.bincount(tables.hierarchy.depth).tolist(),
        top_heads=_commonest(heads, top),
        top_concepts=_commonest(concepts, top),
        with_prototypes=with_prototypes,
        without_prototypes=len(graph) - with_prototypes,
        prototypes=int(offsets[-1]),
        coherence_quantiles=_deciles(graph),
        least_coherent=_least_coherent(graph, top),
    )


def _deciles(graph: ConceptGraph) -> list[float]:
    values = graph.tables.coherence
    known = np.zeros(0) if values is None else values[~np.isnan(values)]
    return np.quantile(known, np.linspace(0, 1, 11)).tolist() if len(known) else []


def _least_coherent(graph: ConceptGraph, top: int) -> list[tuple[str, float, int]]:
    tables = graph.tables
    if tables.coherence is None:
        return []
    order = np.argsort(tables.coherence, kind="stable")  # nan last
    order = order[~np.isnan(tables.coherence[order])][:top]
    return [(tables.concepts.phrases[i], float(tables.coherence[i]), int(tables.frequency[i])) for i in order]


def _commonest(counts: dict[str, int], top: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]
