"""The faster products are right, and a row's bits do not depend on its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from thinc.api import NumpyOps

from easynlp_fashionklip.graph.products import TiledOps, speed_up

if TYPE_CHECKING:
    from spacy.language import Language

GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.standard_normal((700, 288)).astype(np.float32)
WEIGHTS = GENERATOR.standard_normal((288, 288)).astype(np.float32)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 700])
def test_products(count: int, transposed: bool) -> None:
    expected = ROWS[:count].astype(np.float64) @ (WEIGHTS.T if transposed else WEIGHTS)
    result = TiledOps().gemm(ROWS[:count], WEIGHTS, trans2=transposed)
    np.testing.assert_allclose(result, expected, atol=1e-3)
    out = np.full((count + 1, 288), 7, dtype=np.float32)
    TiledOps().gemm(ROWS[:count], WEIGHTS, out=out[1:], trans2=transposed)
    np.testing.assert_array_equal(out[1:], result)
    assert (out[0] == 7).all()


def test_small_weights_and_transposed_rows_are_left_to_thinc() -> None:
    small = WEIGHTS[:50, :96].copy()
    rows = ROWS[:, :96].copy()
    np.testing.assert_array_equal(TiledOps().gemm(rows, small, trans2=True), NumpyOps().gemm(rows, small, trans2=True))
    expected = NumpyOps().gemm(ROWS, ROWS, trans1=True)
    np.testing.assert_array_equal(TiledOps().gemm(ROWS, ROWS, trans1=True), expected)


def test_bits_of_a_row_do_not_depend_on_its_neighbours() -> None:
    whole = TiledOps().gemm(ROWS, WEIGHTS, trans2=True)
    for start, stop in ((0, 1), (3, 69), (5, 12), (64, 700), (1, 131)):
        np.testing.assert_array_equal(TiledOps().gemm(ROWS[start:stop], WEIGHTS, trans2=True), whole[start:stop])


def test_a_loaded_pipeline_uses_them(nlp: Language) -> None:
    layers = [layer for _, part in nlp.pipeline for layer in part.model.walk()]
    assert layers
    assert all(isinstance(layer.ops, TiledOps) for layer in layers)
    assert speed_up(nlp) is nlp
