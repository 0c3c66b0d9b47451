"""FashionMMKG: concepts mined from texts, ordered by is-a, each with visual prototypes."""

from easynlp_fashionklip.graph.builder import attach_prototypes, build_graph
from easynlp_fashionklip.graph.mmr import maximal_marginal_relevance
from easynlp_fashionklip.graph.pipeline import load_spacy
from easynlp_fashionklip.graph.prototypes import PROMPT, select_prototypes
from easynlp_fashionklip.graph.store import ConceptGraph

__all__ = [
    "PROMPT",
    "ConceptGraph",
    "attach_prototypes",
    "build_graph",
    "load_spacy",
    "maximal_marginal_relevance",
    "select_prototypes",
]
