"""Large tensors in a temporary file, so that memory does not grow with the catalogue."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile

import torch


class SpilledTensor:
    """A tensor of zeros, in memory within a budget, else in a temporary file that goes with the process.

    Attributes:
        values: the tensor, rows x width.
    """

    def __init__(self, rows: int, width: int, dtype: torch.dtype, budget: int, shrinks: bool = False) -> None:
        """Make room for `rows` x `width` numbers.

        Where there is no room for a file they stay in memory; or, if it `shrinks`, as many rows as the budget allows,
        and then a file is not to take more than half of the room that is left.
        """
        size = rows * width * dtype.itemsize
        self._map: mmap.mmap | None = None
        if size > budget and not (shrinks and not leaves_room(size)):
            self._map = _file_of(size)
        if self._map is not None:
            self.values = torch.frombuffer(self._map, dtype=dtype).reshape(rows, width)
        else:
            kept = budget // (width * dtype.itemsize) if shrinks and size > budget else rows
            self.values = torch.zeros(kept, width, dtype=dtype)

    @property
    def in_file(self) -> bool:
        """Whether the numbers lie in a file."""
        return self._map is not None

    def release(self) -> None:
        """Let go of the pages of a tensor in a file: they stay in the file, not in this process."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def leaves_room(size: int) -> bool:
    """Whether so many bytes take at most half of what is left in the folder for temporary files."""
    return 2 * size <= shutil.disk_usage(tempfile.gettempdir()).free


def _file_of(size: int) -> mmap.mmap | None:
    """A temporary file of zeros, mapped; None where there is no room for it."""
    with tempfile.TemporaryFile(prefix="fashionklip-") as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk is told now, not as a bus error later
            else:
                file.truncate(size)
            return mmap.mmap(file.fileno(), size)
        except OSError:
            return None
