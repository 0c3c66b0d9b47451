"""Statistics and single concepts as text for a terminal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.statistics import graph_statistics
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.records import Concept

LISTED = 20


def stats_text(graph: ConceptGraph, top: int = 40) -> str:
    """Counts, depths, commonest heads and concepts of a graph, as lines."""
    stats = graph_statistics(graph, top)
    lines = [
        f"{stats.concepts:,} concepts, {stats.roots:,} of them roots, {stats.is_a_edges:,} is-a edges",
        f"{stats.products_with_concepts:,} of {stats.products:,} products mention concepts, "
        f"{stats.mean_concepts:.1f} each on average",
        f"{stats.with_prototypes:,} concepts have prototypes ({stats.prototypes:,} in all)",
        "concepts by depth: " + ", ".join(f"{depth}: {count:,}" for depth, count in enumerate(stats.depths)),
        f"\n{'concepts':>9}  head noun",
        *_counted(stats.top_heads),
        f"\n{'products':>9}  concept",
        *_counted(stats.top_concepts),
    ]
    return "\n".join(lines)


def _counted(pairs: Iterable[tuple[str, int]]) -> list[str]:
    return [f"{count:9,}  {name}" for name, count in pairs]


def concept_text(graph: ConceptGraph, phrase: str) -> str:
    """One concept: frequency, parents up to the root, children by frequency, prototypes by rank.

    Raises:
        InputError: the graph does not have it; the nearest phrases are named.
    """
    concept = graph.find(phrase)
    if concept is None:
        near = difflib.get_close_matches(phrase.lower(), [c.phrase for c in graph.concepts], n=3, cutoff=0.5)
        hint = f"the nearest are {', '.join(map(repr, near))}" if near else "see 'fashionklip graph stats'"
        raise InputError(f"{graph.origin} has no concept {phrase!r}; {hint}.")
    lines = [f"{concept.phrase}  (id {concept.concept_id}, head {concept.head!r}, written {concept.surface!r})"]
    lines.append(f"  mentioned by {concept.frequency:,} products")
    lines += _section(graph, "is a", graph.parents(concept.concept_id), graph.primary_parent(concept.concept_id))
    lines += _section(graph, "kinds", graph.children(concept.concept_id))
    prototypes = graph.prototypes(concept.concept_id)
    lines.append(f"  prototypes: {'' if prototypes else 'none'}")
    lines += [f"    {p.rank:3}  {p.image_id}  similarity {p.similarity:.3f}" for p in prototypes]
    return "\n".join(lines)


def _section(graph: ConceptGraph, title: str, ids: list[int], primary: int | None = None) -> list[str]:
    found: list[Concept] = sorted((graph.concepts[i] for i in ids), key=lambda c: (-c.frequency, c.phrase))
    lines = [f"  {title}: {'' if found else 'none'}"]
    for concept in found[:LISTED]:
        mark = "  (primary)" if concept.concept_id == primary else ""
        lines.append(f"    {concept.phrase}  {concept.frequency:,}{mark}")
    if len(found) > LISTED:
        lines.append(f"    ... and {len(found) - LISTED:,} more")
    return lines
