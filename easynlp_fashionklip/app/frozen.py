"""Pictures of a frozen image tower: encoded once before training, which then does not open them."""

from __future__ import annotations

import logging

from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.inference.encode import encode_images_to
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.training.frozen_tower import FrozenPictures

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
    logger.info("%s; %s of %s parameters train", what, f"{trains:,}", f"{total:,}")


def keep_frozen_pictures(pictures: FrozenPictures, table: PairTable, workers: int = -1) -> None:
    """Encode each picture of a table with its frozen tower once, on all processes together, and keep the outputs.

    Nothing is done where the tower trains. Without room for all outputs, training goes on opening the pictures.

    Args:
        pictures: of the table's length; complete afterwards unless there is no room.
        table: pairs with a picture column.
        workers: processes that decode, -1 to choose by cores.

    Raises:
        InputError: a picture cannot be read.
    """
    if not pictures.wanted or pictures.complete:
        return
    model = pictures.model
    logger.info("the image tower is frozen: each picture is encoded once, as it is, without augmentation")
    told = "encoding pictures once"
    encode_images_to(pictures.store, model, table, encode=model.image_tower_output, workers=workers, description=told)
    if not pictures.complete:
        logger.warning(
            "no room in memory or in the folder for temporary files to keep what the frozen image tower made of %d "
            "pictures: they are encoded in every epoch; set TMPDIR to a folder with more room",
            len(table),
        )
