"""One concept of the graph as a tree for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.text import Text
from rich.tree import Tree

from easynlp_fashionklip.graph.report import LISTED, by_frequency, path_to_root, printable
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.records import Concept


def concept_tree(graph: ConceptGraph, concept: Concept) -> Tree:
    """Its path from the root, and below it: other parents, children by frequency, prototypes by rank."""
    path = path_to_root(graph, concept.concept_id)
    trees = [Tree(_named(one)) for one in path] + [Tree(_named(concept, "bold"))]
    for above, below in pairwise(trees):
        above.children.append(below)
    node = trees[-1]
    others = [one for one in graph.parents(concept.concept_id) if one != graph.primary_parent(concept.concept_id)]
    _add(node, "also a kind of", by_frequency(graph, others))
    _add(node, "kinds", by_frequency(graph, graph.children(concept.concept_id)))
    prototypes = graph.prototypes(concept.concept_id)
    below = node.add(Text("prototypes, with similarity to the prompt" if prototypes else "no prototypes", "dim"))
    for one in prototypes:
        below.add(Text.assemble(f"{one.rank:2}  {printable(one.image_id)}  ", (f"{one.similarity:.3f}", "cyan")))
    return trees[0]


def _named(concept: Concept, style: str = "") -> Text:
    return Text.assemble((printable(concept.phrase), style), "  ", (f"{concept.frequency:,}", "cyan"))


def _add(node: Tree, title: str, concepts: Sequence[Concept]) -> None:
    if not concepts:
        return
    below = node.add(Text(title, "dim"))
    for concept in concepts[:LISTED]:
        below.add(_named(concept))
    if len(concepts) > LISTED:
        below.add(Text(f"and {len(concepts) - LISTED:,} more", "dim"))
