"""The pairs as a PyTorch dataset: decoded, augmented reproducibly, failures as values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from easynlp_fashionklip.data.images import open_image
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.samplers import SampleIndex
from easynlp_fashionklip.errors import InputError

_DEAD_WORKER = "DataLoader worker"


class ImageTransform(Protocol):
    """Turns a picture into the model's input: RGB image -> tensor 3 x H x W, float or uint8."""

    def __call__(self, image: Image.Image, train: bool, rng: np.random.Generator) -> torch.Tensor:
        """Augment with `rng` when `train`, else deterministically."""


@dataclass(frozen=True)
class RowFailure:
    """A row that could not be read, told as a value: raised in a worker it would come back inside a traceback."""

    message: str


Sample = dict[str, Any]
Batch = dict[str, Any]


class PairDataset(Dataset[Sample | RowFailure]):
    """Samples `{row: position, pixel_values: 3 x H x W, text: str}` of a pair table.

    `pixel_values` is absent without a picture column or transform, `text` without a text column. An index is an
    (epoch, position) pair, as the samplers of this package give, or a position alone (epoch 0). The augmentation of a
    sample depends on (seed, epoch, position) alone: not on the worker, the rank or the order.
    """

    def __init__(
        self,
        table: PairTable,
        transform: ImageTransform | None,
        *,
        seed: int = 0,
        train: bool = False,
        near: int | None = None,
    ) -> None:
        """Fix what the samples are made of.

        Args:
            table: the pairs.
            transform: makes `pixel_values`; None leaves the pictures unopened.
            seed: of the augmentation, not negative.
            train: passed to `transform`.
            near: the model's input side in pixels; big JPEGs are then decoded at a fraction of their size.
        """
        self.table = table
        self.transform = transform
        self.seed = seed
        self.train = train
        self.near = near

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: SampleIndex | int) -> Sample | RowFailure:
        epoch, position = index if isinstance(index, tuple) else (0, index)
        try:
            return self._sample(epoch, position)
        except InputError as error:
            return RowFailure(str(error))

    def _sample(self, epoch: int, position: int) -> Sample:
        pair = self.table.pair(position)
        sample: Sample = {"row": position}
        if pair.image is not None and self.transform is not None:
            image = open_image(pair.image, near=self.near)
            rng = np.random.default_rng([self.seed, epoch, position])
            sample["pixel_values"] = self.transform(image, self.train, rng)
        if self.table.text_column is not None:
            sample["text"] = pair.text
        return sample


@contextmanager
def explained_worker_death() -> Iterator[None]:
    """Turn the death of a worker process into an `InputError`, wherever the main process was: torch raises it there.

    Raises:
        InputError: a process that decodes pictures died.
    """
    try:
        yield
    except RuntimeError as error:
        if _DEAD_WORKER not in str(error):
            raise
        reason = str(error).strip().rstrip(".")
        raise InputError(
            f"a process that decodes pictures died ({reason}); it may lack memory or shared memory: raise the "
            "container's --shm-size, or pass a smaller data_workers (0 decodes in the main process)."
        ) from error


def iterate_batches(batches: Iterable[Batch | RowFailure]) -> Iterator[Batch]:
    """The batches of a loader.

    Raises:
        InputError: a row could not be read (the sentence that names it), or a worker process died.
    """
    with explained_worker_death():
        iterator = iter(batches)
    while True:
        with explained_worker_death():
            batch = next(iterator, None)
        if batch is None:
            return
        if isinstance(batch, RowFailure):
            raise InputError(batch.message)
        yield batch
