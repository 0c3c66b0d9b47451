"""Growing a graph by new products: the concepts, mentions and prototypes of a graph built from all products at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from easynlp_fashionklip.graph.builder import image_candidates, is_visual
from easynlp_fashionklip.graph.coherence import visual_coherence
from easynlp_fashionklip.graph.csr import take_rows
from easynlp_fashionklip.graph.prototypes import duplicate_threshold, image_ids_of, select_prototypes
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.graph.tables import Pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spacy.language import Language

    from easynlp_fashionklip.graph.engines import Engine
    from easynlp_fashionklip.graph.mined import Progress

EncodePrompts = Callable[[Sequence[str]], "NDArray[np.float32]"]


def expand_graph(
    graph: ConceptGraph,
    texts: Iterable[str],
    pictures: Pictures,
    encode_prompts: EncodePrompts,
    nlp: Language | None = None,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> ConceptGraph:
    """A graph that also knows N products, with the prototypes that all pictures together give.

    Equals building from old and new products at once, but for the numbers of the concepts: old ones keep theirs, new
    ones follow. Prototypes are chosen again only for concepts that are new, have more candidates, are spelt otherwise
    by most, or have become visual or ceased to be; the old pictures are not needed, the graph has their embeddings.

    Args:
        graph: with pictures (`ConceptGraph.with_pictures`).
        texts: N texts.
        pictures: N, one for each text, by the encoder the graph was built with. Products that the graph knows get
            further texts and pictures.
        encode_prompts: embeds prompts with that encoder: U texts to U x d of unit norm.
        nlp: pipeline to mine with; None takes the graph's own.
        progress: called with the number of texts mined since the last call.
        engine: mines in place of `nlp`.

    Raises:
        InputError: the numbers of texts and pictures differ.
        ValueError: the graph has no pictures.
    """
    old = graph.tables.pictures
    if old is None:
        raise ValueError(f"{graph.origin} has no picture embeddings.")
    grown = graph.expand(texts, pictures.product_ids, nlp, progress, engine)
    if not len(pictures):
        return grown
    together = Pictures(
        [*old.product_ids, *pictures.product_ids],
        np.concatenate([old.keys, pictures.keys]),
        np.concatenate([old.embeds, pictures.embeds]),
    )
    mentioning = image_candidates(grown, together.product_ids)
    if graph.tables.coherence is not None:
        grown = grown.with_coherence(visual_coherence(together.embeds, *mentioning))
    stale = _stale_concepts(graph, grown, mentioning[0])
    duplicates = graph.info.duplicate_similarity
    if duplicate_threshold(old.embeds, duplicates) != duplicate_threshold(together.embeds, duplicates):
        stale = np.arange(len(grown))
    return _choose_again(grown, together, stale, mentioning, encode_prompts)


def _stale_concepts(graph: ConceptGraph, grown: ConceptGraph, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ids, ascending, of the concepts whose prototypes may differ from those in `graph`.

    Candidates only ever become more, so that their number tells. They may be old pictures: a phrase that has become a
    concept brings the pictures that mention it to its ancestors.
    """
    known, old = len(graph), graph.tables.pictures
    stale = np.ones(len(grown), dtype=np.bool_)
    if graph.info.prototype_scope == "mentions" and old is not None:
        before = np.diff(image_candidates(graph, old.product_ids)[0])
        surfaces = zip(graph.tables.concepts.surfaces, grown.tables.concepts.surfaces, strict=False)
        stale[:known] = before != np.diff(offsets)[:known]
        stale[:known] |= np.array([one != other for one, other in surfaces], dtype=np.bool_)
        minimum = graph.info.min_coherence
        stale[:known] |= is_visual(graph, minimum) != is_visual(grown, minimum)[:known]
    return np.flatnonzero(stale)


def _choose_again(
    grown: ConceptGraph,
    pictures: Pictures,
    stale: NDArray[np.int64],
    mentioning: tuple[NDArray[np.int64], NDArray[np.int64]],
    encode_prompts: EncodePrompts,
) -> ConceptGraph:
    info = grown.info
    asked = np.flatnonzero(is_visual(grown, info.min_coherence)[stale])
    ids = stale[asked]
    grown = grown.with_pictures(pictures)
    if not len(stale):
        return grown
    table = select_prototypes(
        encode_prompts(grown.prompts(ids.tolist())),
        pictures.embeds,
        take_rows(*mentioning, ids) if info.prototype_scope == "mentions" else None,
        info.num_candidates,
        info.num_prototypes,
        info.mmr_diversity,
        info.duplicate_similarity,
        pictures.keys,
    )
    table.concept[:] = asked[table.concept]
    return grown.with_prototypes(
        table,
        image_ids_of(pictures.product_ids),
        encoder=info.encoder,
        embedding_dim=info.embedding_dim,
        scope=info.prototype_scope,
        concept_ids=stale.tolist(),
    )
