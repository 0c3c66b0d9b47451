"""The category of each row of a training table, for batches that share one: its main garment in the concept graph."""

from __future__ import annotations

import numpy as np

from easynlp_fashionklip.graph import ConceptGraph, lexicon
from easynlp_fashionklip.graph.csr import rows_of


def row_categories(graph: ConceptGraph, product_keys: np.ndarray) -> np.ndarray:
    """The garment noun that most of a row's concepts have for their head; of equals the one that most rows have.

    `slim jeans`, `jeans in blue` and `jeans` beside `top` make a row one of jeans.

    Args:
        graph: whose mentions and heads are read.
        product_keys: int64 (N,), the rows' products, as of `PairTable`.

    Returns:
        int64 (N,): numbers from 0, equal for rows of one category; -1 for rows that mention no garment.
    """
    heads, head_of = np.unique(np.array(graph.tables.concepts.heads, dtype=object).astype(str), return_inverse=True)
    garment = np.array([head in lexicon.GARMENTS for head in heads], dtype=np.bool_)
    offsets, concepts = graph.mention_csr(product_keys)
    found = head_of[concepts]
    rows, found = rows_of(offsets)[garment[found]], found[garment[found]]
    pairs, mentions = np.unique(rows * len(heads) + found, return_counts=True)
    rows, found = pairs // max(1, len(heads)), pairs % max(1, len(heads))
    commonness = np.bincount(found, minlength=len(heads))[found]
    order = np.lexsort((found, -commonness, -mentions, rows))
    first = np.append(True, np.diff(rows[order]) != 0)[: len(order)]
    categories = np.full(len(product_keys), -1, dtype=np.int64)
    categories[rows[order][first]] = found[order][first]
    return categories
