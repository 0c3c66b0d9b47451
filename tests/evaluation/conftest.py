"""Galleries of random unit vectors, and plain oracles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from easynlp_fashionklip.evaluation.gallery import PairGallery


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make_gallery(
    rows: int = 60, products: int = 40, categories: int = 4, noise: float = 1.0, seed: int = 0, dim: int = 16
) -> PairGallery:
    """Pictures and texts around their product's vector; a product has one category and one text."""
    random = np.random.default_rng(seed)
    product = np.concatenate([np.arange(products), random.integers(0, products, rows - products)])
    centres = random.normal(size=(products, dim))
    images = unit(centres[product] + noise * random.normal(size=(rows, dim)))
    texts = unit(centres + noise * random.normal(size=centres.shape))[product]
    return PairGallery(
        images,
        texts,
        product_keys=product.astype(np.int64) * 7 - 3,
        product_ids=[f"p{n}" for n in product],
        captions=[f"text of {n}" for n in product],
        categories=[f"c{n % categories}" for n in product],
    )


@pytest.fixture(scope="session")
def gallery() -> Callable[..., PairGallery]:
    """See `make_gallery`."""
    return make_gallery
