"""The latest embedding of every training picture: what prototypes are chosen from, at no extra forward pass."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from easynlp_fashionklip.errors import InputError

BUDGET_BYTES = 8 << 20


class EmbeddingBank:
    """One unit vector per row of the training table, in half precision (N x d x 2 bytes on every process).

    Training writes each batch's gathered picture embeddings, so that after an epoch every entry is at most one epoch
    old; prototypes are re-ranked from it without encoding the catalogue again.

    A bank larger than its budget lives in a temporary file, so that memory does not grow with the catalogue.

    Attributes:
        embeds: float16 (N, d).
        drift: float32 (N,), how far each entry has moved, summed over its updates, since it was last set to zero; inf
            where it was filled anew. None unless asked for with `track_drift`.
    """

    def __init__(self, num_rows: int, dim: int, budget: int = BUDGET_BYTES) -> None:
        self._map: mmap.mmap | None = None
        self.drift: Tensor | None = None
        if 2 * num_rows * dim > budget:
            self._map = _file_of(2 * num_rows * dim)
        if self._map is None:
            self.embeds = torch.zeros(num_rows, dim, dtype=torch.float16)
        else:
            self.embeds = torch.from_numpy(np.frombuffer(self._map, dtype=np.float16).reshape(num_rows, dim))

    def fill(self, embeds: np.ndarray) -> None:
        """Set all rows from float (N, d)."""
        self.embeds.copy_(torch.from_numpy(embeds))
        if self.drift is not None:
            self.drift.fill_(torch.inf)
        self.release()

    def track_drift(self) -> None:
        """Keep `drift` from now on: 4 bytes a row."""
        self.drift = torch.full((len(self.embeds),), torch.inf)

    def update(self, rows: Tensor, embeds: Tensor) -> None:
        """Set some rows: int64 (B,), float (B, d); no gradient is kept."""
        rows = rows.cpu()
        before = None if self.drift is None else self.embeds[rows].float()
        self.embeds[rows] = embeds.detach().to("cpu", torch.float16)
        if self.drift is not None and before is not None:
            moved = (self.embeds[rows].float() - before).norm(dim=1)
            self.drift[rows] = self.drift[rows] + moved
        self.release()

    def get(self, rows: Tensor) -> Tensor:
        """Float32 (..., d) of int64 rows (...), unit norm again after rounding."""
        found = torch.nn.functional.normalize(self.embeds[rows].float(), dim=-1)
        self.release()
        return found

    def state_dict(self) -> dict[str, Any]:
        """What a resume point needs: `embeds` and `drift` themselves, not copies; save them before training goes on."""
        return {"embeds": self.embeds, "drift": self.drift}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            InputError: it is of a table with another number of rows, or of an encoder of another dimension.
        """
        embeds = state["embeds"]
        if embeds.shape != self.embeds.shape:
            raise InputError(
                f"--resume_from_checkpoint was saved with {tuple(embeds.shape)} picture embeddings, this run has "
                f"{tuple(self.embeds.shape)}; give the table and the model that the run was started with."
            )
        self.embeds.copy_(embeds)
        self.drift = None if state["drift"] is None else state["drift"].clone()
        self.release()

    def release(self) -> None:
        """Let go of the pages of a bank in a file: they stay in the file, not in this process."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _file_of(size: int) -> mmap.mmap | None:
    """A temporary file of zeros, mapped; None where there is no room for it."""
    with tempfile.TemporaryFile(prefix="fashionklip-bank-") as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk is told now, not as a bus error later
            else:
                file.truncate(size)
            return mmap.mmap(file.fileno(), size)
        except OSError:
            return None
