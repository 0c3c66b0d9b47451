"""Small pictures of a table's rows for a page."""

from __future__ import annotations

import base64
import io
import logging

from PIL import Image

from easynlp_fashionklip.data.images import open_image
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError

SIDE = 112
_QUALITY = 75

logger = logging.getLogger(__name__)


def thumbnail(table: PairTable, row: int) -> str | None:
    """A row's picture as base64 of a JPEG of at most 112 pixels; None, with a word in the log, if it cannot be read."""
    try:
        reference = table.pair(row).image
        image = None if reference is None else open_image(reference, near=SIDE)
    except InputError as error:
        logger.warning("left out: %s", str(error).partition(";")[0])
        return None
    if image is None:
        return None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
