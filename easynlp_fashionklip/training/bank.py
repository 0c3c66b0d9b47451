"""The latest embedding of every training picture: what prototypes are chosen from, at no extra forward pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class EmbeddingBank:
    """One unit vector per row of the training table, in half precision (N x d x 2 bytes on every process).

    Training writes each batch's gathered picture embeddings, so that after an epoch every entry is at most one epoch
    old; prototypes are re-ranked from it without encoding the catalogue again.
    """

    def __init__(self, num_rows: int, dim: int) -> None:
        self.embeds = torch.zeros(num_rows, dim, dtype=torch.float16)

    def fill(self, embeds: np.ndarray) -> None:
        """Set all rows from float (N, d)."""
        self.embeds.copy_(torch.from_numpy(embeds))

    def update(self, rows: Tensor, embeds: Tensor) -> None:
        """Set some rows: int64 (B,), float (B, d); no gradient is kept."""
        self.embeds[rows.cpu()] = embeds.detach().to("cpu", torch.float16)

    def get(self, rows: Tensor) -> Tensor:
        """Float32 (..., d) of int64 rows (...), unit norm again after rounding."""
        return torch.nn.functional.normalize(self.embeds[rows].float(), dim=-1)
