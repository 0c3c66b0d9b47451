"""Faster matrix products for spaCy's models on a CPU: numpy's library instead of BLIS, about three times as fast.

Tagging a text must not depend on the texts beside it. BLIS gives each row of a product the same bits whatever rows
stand around it; numpy's library does so when rows come in whole tiles, so the last rows are padded to one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from thinc.api import NumpyOps

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from spacy.language import Language

_TILE = 64
# Smaller products are computed another way, which rounds otherwise; they take no time and stay with BLIS.
_SMALLEST = 1_200_000


class TiledOps(NumpyOps):
    """thinc's operations with faster products of tall matrices and weights."""

    def gemm(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        out: NDArray[np.float32] | None = None,
        trans1: bool = False,
        trans2: bool = False,
    ) -> Any:
        """x @ y (m x n, float32), either transposed first; the choice of library depends on the weights alone."""
        if trans1 or y.ndim != 2 or y.size * _TILE < _SMALLEST or x.dtype != np.float32 or y.dtype != np.float32:
            return super().gemm(x, y, out=out, trans1=trans1, trans2=trans2)
        weights = y.T if trans2 else y
        result = np.empty((len(x), weights.shape[1]), dtype=np.float32) if out is None else out
        whole = len(x) // _TILE * _TILE
        if whole:
            rows = result[:whole]
            if rows.flags.c_contiguous:
                np.dot(x[:whole], weights, out=rows)
            else:
                rows[:] = np.dot(x[:whole], weights)
        if whole < len(x):
            tile = np.zeros((_TILE, x.shape[1]), dtype=np.float32)
            tile[: len(x) - whole] = x[whole:]
            result[whole:] = np.dot(tile, weights)[: len(x) - whole]
        return result


def speed_up(nlp: Language) -> Language:
    """Give the models of a pipeline that run on the CPU the faster products."""
    for _, component in nlp.pipeline:
        model = getattr(component, "model", None)
        for layer in model.walk() if model is not None else ():
            if type(layer.ops) is NumpyOps or type(layer.ops).__name__ == "NumpyOps":
                layer.ops = TiledOps()
    return nlp
