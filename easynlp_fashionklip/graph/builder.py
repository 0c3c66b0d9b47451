"""Building FashionMMKG: texts to concepts, then pictures to prototypes. Encoding is left to the caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from easynlp_fashionklip.config import Scope
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.coherence import visual_coherence
from easynlp_fashionklip.graph.csr import from_pairs, rows_of, take_rows
from easynlp_fashionklip.graph.engines import Engine
from easynlp_fashionklip.graph.mining import Progress, mine
from easynlp_fashionklip.graph.pipeline import pipeline_name
from easynlp_fashionklip.graph.prototypes import DUPLICATE_SIMILARITY, PROMPT, image_ids_of, select_prototypes
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.graph.tables import GraphInfo, assemble, mentions_of_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spacy.language import Language
    from torch import Tensor


def build_graph(
    texts: Iterable[str],
    product_ids: Sequence[str],
    nlp: Language,
    min_frequency: int = 2,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> ConceptGraph:
    """Build a graph without prototypes.

    Args:
        texts: N texts, read once.
        product_ids: N ids; texts of one product are taken together. May be filled while the texts are read.
        nlp: pipeline from `load_spacy`.
        min_frequency: products that must mention a concept for it to enter.
        progress: called with the number of texts done since the last call.
        engine: mines with `nlp`; None mines in this process. The graph is the same, byte for byte.

    Raises:
        InputError: if the numbers differ, or if no concept is frequent enough.
    """
    mined = mine(texts, nlp, progress) if engine is None else engine.mine(texts, progress)
    if len(mined) != len(product_ids):
        raise InputError(f"{len(mined)} texts come with {len(product_ids)} product ids; give one id for each text.")
    info = GraphInfo(min_frequency=min_frequency, spacy_pipeline=pipeline_name(nlp), prompt=PROMPT)
    tables = assemble(mentions_of_texts(mined, product_ids), info)
    if not len(tables.concepts):
        raise InputError(
            f"No concept is mentioned by {min_frequency} of the {len(tables.product_ids)} products; "
            f"lower min_frequency, or check that the text column describes them in the language of {pipeline_name(nlp)}"
            "; for another one give a spaCy pipeline of it with spacy_model, or train with cva=false."
        )
    return ConceptGraph(tables, nlp)


def mentioning_images(
    graph: ConceptGraph, offsets: NDArray[np.int64], concept: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(offsets U + 1, image rows ascending) of the pictures that mention each concept or a descendant of it.

    The other way round from `offsets` (N + 1) and `concept`, the concepts that each of N pictures mentions.
    """
    image = rows_of(offsets)
    above_offsets, rows = take_rows(*graph.ancestor_csr, concept)
    values = np.concatenate([image, image[rows_of(above_offsets)]])
    rows = np.concatenate([concept, rows])
    del image, above_offsets  # there are millions of mentions: hold no more copies than needed while they are sorted
    return from_pairs(rows, values, len(graph))


def image_candidates(
    graph: ConceptGraph, product_ids: Sequence[str], concept_ids: Sequence[int] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(offsets, image rows ascending): for each concept the pictures whose product mentions it or a descendant.

    `product_ids` names the product of each of the N pictures.
    """
    table = mentioning_images(graph, *graph.mentions_of(product_ids))
    return table if concept_ids is None else take_rows(*table, np.asarray(concept_ids, dtype=np.int64))


def attach_prototypes(
    graph: ConceptGraph,
    prompt_embeds: Tensor | NDArray[np.floating],
    image_embeds: Tensor | NDArray[np.floating],
    product_ids: Sequence[str],
    *,
    scope: Scope = "mentions",
    encoder: str = "",
    image_ids: Sequence[str] | None = None,
    concept_ids: Sequence[int] | None = None,
    num_candidates: int = 20,
    num_prototypes: int = 10,
    diversity: float = 0.8,
    duplicate_similarity: float = DUPLICATE_SIMILARITY,
    picture_keys: NDArray[np.int64] | None = None,
    min_coherence: float = -1.0,
) -> ConceptGraph:
    """Give a graph its prototypes, and each concept its visual coherence.

    Args:
        prompt_embeds: U x d, unit norm, of `graph.prompts(concept_ids)`.
        image_embeds: N x d, unit norm.
        product_ids: N, the product of each picture.
        scope: `mentions` chooses among pictures whose product mentions the concept or a descendant, `paper` among all.
        encoder: name of the encoder, for graph.json.
        image_ids: N names of the pictures; by default the product's id, with `#1`, `#2` for further pictures.
        concept_ids: the concepts to (re-)select for; by default all.
        duplicate_similarity, picture_keys: which pictures are the same; see `select_prototypes`.
        min_coherence: concepts known to be less coherent than this get no prototypes.
    """
    wanted = len(graph) if concept_ids is None else len(concept_ids)
    if len(prompt_embeds) != wanted:
        raise ValueError(f"{len(prompt_embeds)} prompts come for {wanted} concepts.")
    if len(image_embeds) != len(product_ids):
        raise ValueError(f"{len(image_embeds)} images come for {len(product_ids)} product ids.")
    ids = np.arange(len(graph)) if concept_ids is None else np.asarray(concept_ids, dtype=np.int64)
    mentioning = image_candidates(graph, product_ids, concept_ids)
    graph = graph.with_coherence(_coherence(graph, ids, image_embeds, mentioning))
    asked = np.flatnonzero(is_visual(graph, min_coherence)[ids])
    settings = (num_candidates, num_prototypes, diversity, duplicate_similarity, picture_keys)
    candidates = take_rows(*mentioning, asked) if scope == "mentions" else None
    table = select_prototypes(prompt_embeds[asked], image_embeds, candidates, *settings)
    table.concept[:] = asked[table.concept]
    names = image_ids_of(product_ids) if image_ids is None else image_ids
    return graph.with_prototypes(
        table,
        names,
        encoder=encoder,
        embedding_dim=int(prompt_embeds.shape[1]),
        scope=scope,
        concept_ids=concept_ids,
    )


def is_visual(graph: ConceptGraph, min_coherence: float) -> NDArray[np.bool_]:
    """Which concepts training uses: those at least this coherent, and those whose coherence is unknown."""
    known = graph.tables.coherence
    return np.ones(len(graph), dtype=np.bool_) if known is None else ~(known < min_coherence)


def _coherence(
    graph: ConceptGraph,
    ids: NDArray[np.int64],
    image_embeds: Tensor | NDArray[np.floating],
    mentioning: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.float32]:
    """Coherence of every concept: newly measured for some, as it was for the others."""
    known = graph.tables.coherence
    values = np.full(len(graph), np.nan, dtype=np.float32) if known is None else known.copy()
    values[ids] = visual_coherence(image_embeds, *mentioning)
    return values
