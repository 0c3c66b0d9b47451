"""Pictures of a frozen image tower: encoded once before training, which then does not open them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from easynlp_fashionklip import distributed
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.inference.encode import (
    TableEmbeddings,
    encode_images,
    encode_images_to,
    encode_texts,
    encode_texts_to,
    evaluating,
    model_device,
)
from easynlp_fashionklip.models.concept_texts import Mentions
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.training.frozen_tower import BUDGET_BYTES, FrozenPictures, KeptTexts
from easynlp_fashionklip.training.mapped import leaves_room

ROWS_AT_ONCE = 4096
logger = logging.getLogger(__name__)


def tell_what_trains(model: DualEncoder) -> None:
    """Log which towers are frozen and how many parameters train."""
    frozen = [name for name, rests in (("image", model.image_tower_frozen), ("text", model.text_tower_frozen)) if rests]
    trains = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    total = sum(parameter.numel() for parameter in model.parameters())
    what = {
        0: "both towers train, or part of them",
        1: f"the {frozen[0] if frozen else ''} tower is frozen",
        2: "both towers are frozen: only the heads and the temperature train",
    }[len(frozen)]
    if model.image_tower_frozen:
        logger.info("each picture is encoded once, as it is: a frozen image tower trains without augmentation")
    logger.info("%s; %s of %s parameters train", what, f"{trains:,}", f"{total:,}")


def keep_frozen_pictures(
    pictures: FrozenPictures, table: PairTable, workers: int = -1, description: str = "encoding pictures once"
) -> None:
    """Encode each picture of a table with its frozen tower once, on all processes together, and keep the outputs.

    Nothing is done where the tower trains. Without room for all outputs, training goes on opening the pictures.

    Args:
        pictures: of the table's length; complete afterwards unless there is no room.
        table: pairs with a picture column.
        workers: processes that decode, -1 to choose by cores.
        description: what the bar says.

    Raises:
        InputError: a picture cannot be read.
    """
    if not pictures.wanted or pictures.complete:
        return
    encode_images_to(
        pictures.store,
        pictures.model,
        table,
        encode=pictures.model.image_tower_output,
        workers=workers,
        description=description,
    )
    if not pictures.complete:
        logger.warning(
            "no room in memory or in the folder for temporary files to keep what the frozen image tower made of %d "
            "pictures: they are encoded in every epoch; set TMPDIR to a folder with more room",
            len(table),
        )


def keep_frozen_texts(
    texts: KeptTexts, text_of: Callable[[int], str], description: str = "encoding texts once"
) -> None:
    """Encode each text with what is frozen of its tower once, on all processes together, and keep the outputs.

    Done before training, in batches that do not depend on it, so that a run that was resumed sees the same numbers.

    Args:
        texts: what is to be filled; nothing is done where the tower trains.
        text_of: the text of each key.
        description: what the bar says.
    """
    cache = texts.cache
    if cache is None or cache.complete:
        return
    if texts.states and not distributed.broadcast_object(_has_room(texts, cache.num_keys)):
        logger.warning(
            "no room in the folder for temporary files to keep what the frozen layers of the text tower make of %d "
            "texts: they pass these in every epoch; set TMPDIR to a folder with more room",
            cache.num_keys,
        )
        texts.keep_nothing()
        return
    encode_texts_to(cache.store, texts.model, cache.num_keys, text_of, encode=texts.compute, description=description)


def _has_room(texts: KeptTexts, count: int) -> bool:
    """Whether what is to be kept of so many texts finds room for temporary files, of each process on this machine."""
    tokens, device = texts.model.processor.tokenize(["a"]), model_device(texts.model)
    with evaluating(texts.model):
        one = texts.compute(tokens["input_ids"].to(device), tokens["attention_mask"].to(device))
    size = count * one.numel() * torch.float32.itemsize
    return size <= BUDGET_BYTES or leaves_room(distributed.processes_here() * size)


class TableEncoder:
    """Embeds one table again and again while a model trains; what its frozen towers make of it is computed once."""

    def __init__(self, model: DualEncoder, table: PairTable, *, batch_size: int, workers: int) -> None:
        self.model = model
        self.table = table
        self.batch_size = batch_size
        self.workers = workers
        self._pictures = FrozenPictures(model, len(table))
        self._texts = KeptTexts(model, len(table))
        self._mentions: Mentions | None = None

    def embeds(self, description: str) -> TableEmbeddings:
        """Both columns under the model as it is; every process must call it. `description` is what the bar says.

        Raises:
            InputError: a picture cannot be read.
        """
        keep_frozen_texts(self._texts, self.table.text, description)
        keep_frozen_pictures(self._pictures, self.table, self.workers, description)
        if self._pictures.wanted and not self._pictures.complete:
            self._pictures = FrozenPictures(self.model, 0)  # no room: do not try again
        return TableEmbeddings(self._images(description), self._with_concepts(self._text_embeds()))

    def _with_concepts(self, texts: np.ndarray) -> np.ndarray:
        concepts = self.model.concepts
        if concepts is None:
            return texts
        if self._mentions is None:
            found = concepts.mentions(list(self.table.texts())) if distributed.rank() == 0 else None
            self._mentions = distributed.broadcast_object(found)
        return concepts.enrich(texts, self._mentions)

    def _images(self, description: str) -> np.ndarray:
        if self._pictures.complete:
            return self._by_blocks(self._pictures.embeds)
        return encode_images(
            self.model, self.table, batch_size=self.batch_size, workers=self.workers, description=description
        )

    def _text_embeds(self) -> np.ndarray:
        cache = self._texts.cache
        if cache is None or not cache.complete:
            texts = list(self.table.texts())
            return encode_texts(self.model, texts, encode=self.model.encode_text, batch_size=self.batch_size)
        return self._by_blocks(lambda rows: self.model.project_text(cache.read(rows).to(model_device(self.model))))

    def _by_blocks(self, embed: Callable[[Tensor], Tensor]) -> np.ndarray:
        """`embed` (rows to unit vectors) of all rows: float32 (N, d)."""
        with evaluating(self.model):
            parts = [embed(rows).float().cpu() for rows in torch.arange(len(self.table)).split(ROWS_AT_ONCE)]
        return torch.cat(parts).numpy()
