"""Statistics and single concepts as text for a terminal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.statistics import GraphStatistics, graph_statistics
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.records import Concept

LISTED = 20
DECILES = range(0, 101, 10)


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
        *_coherence(stats),
    ]
    return "\n".join(lines)


def _coherence(stats: GraphStatistics) -> list[str]:
    """The distribution of visual coherence and the concepts at its lower end; nothing where it was not measured."""
    if not stats.coherence_quantiles:
        return []
    deciles = ", ".join(
        f"{share}%: {value:.2f}" for share, value in zip(DECILES, stats.coherence_quantiles, strict=True)
    )
    listed = [f"{value:9.2f}  {printable(phrase)}  {count:,}" for phrase, value, count in stats.least_coherent[:LISTED]]
    return [f"\nvisual coherence by share of concepts: {deciles}", f"\n{'coherence':>9}  least coherent", *listed]


def _counted(pairs: Iterable[tuple[str, int]]) -> list[str]:
    return [f"{count:9,}  {name}" for name, count in pairs]


def find_concept(graph: ConceptGraph, phrase: str) -> Concept:
    """The concept that a phrase names.

    Raises:
        InputError: the graph does not have it; the nearest phrases are named.
    """
    concept = graph.find(phrase)
    if concept is None:
        near = difflib.get_close_matches(phrase.lower(), [c.phrase for c in graph.concepts], n=3, cutoff=0.5)
        hint = f"the nearest are {', '.join(map(repr, near))}" if near else "see 'fashionklip graph stats'"
        raise InputError(f"{graph.origin} has no concept {phrase!r}; {hint}.")
    return concept


def path_to_root(graph: ConceptGraph, concept_id: int) -> list[Concept]:
    """The ancestors of a concept along primary edges, the root first."""
    path: list[Concept] = []
    above = graph.primary_parent(concept_id)
    while above is not None:
        path.insert(0, graph.concepts[above])
        above = graph.primary_parent(above)
    return path


def by_frequency(graph: ConceptGraph, ids: Iterable[int]) -> list[Concept]:
    """Concepts, the most frequent first, of equals the alphabetically first."""
    return sorted((graph.concepts[i] for i in ids), key=lambda c: (-c.frequency, c.phrase))


def printable(text: str) -> str:
    """Text without characters that would steer a terminal: those that cannot be printed are written as `\\x1b`."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def concept_text(graph: ConceptGraph, concept: Concept) -> str:
    """One concept: frequency, path from the root, parents, children by frequency, prototypes by rank."""
    name, surface = printable(concept.phrase), printable(concept.surface)
    lines = [f"{name}  (id {concept.concept_id}, head {concept.head!r}, written '{surface}')"]
    lines.append(f"  mentioned by {concept.frequency:,} products")
    path = [printable(one.phrase) for one in path_to_root(graph, concept.concept_id)]
    if path:
        lines.append(f"  path: {' > '.join([*path, name])}")
    coherence = graph.coherence(concept.concept_id)
    if coherence is not None:
        lines.append(f"  visual coherence {coherence:.2f}")
    lines += _section(graph, "is a", graph.parents(concept.concept_id), graph.primary_parent(concept.concept_id))
    lines += _section(graph, "kinds", graph.children(concept.concept_id))
    prototypes = graph.prototypes(concept.concept_id)
    lines.append(f"  prototypes: {'' if prototypes else 'none'}")
    lines += [f"    {p.rank:3}  {printable(p.image_id)}  similarity {p.similarity:.3f}" for p in prototypes]
    return "\n".join(lines)


def _section(graph: ConceptGraph, title: str, ids: list[int], primary: int | None = None) -> list[str]:
    found = by_frequency(graph, ids)
    lines = [f"  {title}: {'' if found else 'none'}"]
    for concept in found[:LISTED]:
        mark = "  (primary)" if concept.concept_id == primary else ""
        lines.append(f"    {printable(concept.phrase)}  {concept.frequency:,}{mark}")
    if len(found) > LISTED:
        lines.append(f"    ... and {len(found) - LISTED:,} more")
    return lines
