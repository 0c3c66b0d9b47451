"""What a protocol searches: the embeddings of a table's pairs, and what is known about each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from easynlp_fashionklip.evaluation.measures import Query, digest


def codes_of(values: Iterable[str]) -> np.ndarray:
    """Numbers from 0 in the order of first appearance, equal for equal values; int64."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)


@dataclass(frozen=True)
class PairGallery:
    """N pairs of picture and text.

    Attributes:
        images: float (N, d), unit vectors.
        texts: float (N, d), unit vectors; row i belongs to picture i.
        product_keys: int64 (N,), equal for pairs of one product.
        product_ids: N names of products.
        captions: N texts.
        categories: N sub-categories, or none where the table has no such column.
    """

    images: np.ndarray
    texts: np.ndarray
    product_keys: np.ndarray
    product_ids: Sequence[str]
    captions: Sequence[str]
    categories: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.product_ids)

    def queries(self) -> list[Query]:
        """Each pair as a query, named by its number from 0."""
        categories = self.categories or [""] * len(self)
        rows = zip(self.captions, self.product_ids, categories, strict=True)
        return [Query(str(number), *row) for number, row in enumerate(rows)]

    def facts(self) -> dict[str, object]:
        """Size and digest of what is searched."""
        return {
            "gallery_size": len(self),
            "products": len(np.unique(self.product_keys)),
            "gallery_digest": digest([*self.product_ids, *self.captions]),
        }
