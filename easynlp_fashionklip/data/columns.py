"""Which columns are text and picture when nobody says: by the names that catalogues usually give them."""

from __future__ import annotations

from easynlp_fashionklip.data.release_table import ITEM_IDS, QUERY_TEXT
from easynlp_fashionklip.data.table import Catalogue
from easynlp_fashionklip.errors import InputError

TEXT_COLUMNS = ("caption", "captions", "text", "txt", QUERY_TEXT, "title", "description", "input_description", "name")
PICTURE_COLUMNS = (
    "image",
    "images",
    "picture",
    "image_path",
    "image_file",
    "file_name",
    "filename",
    "img",
    "jpg",
    "input_image",
    ITEM_IDS,
)


def choose_columns(catalogue: Catalogue, text: str | None, image: str | None) -> tuple[str | None, str | None]:
    """Text column and picture column: those given, or else found by name; a column of bytes is a picture.

    Raises:
        InputError: none is given and none is found.
    """
    texts = (name for name in TEXT_COLUMNS if name in catalogue.columns and name not in catalogue.bytes_columns)
    pictures = [name for name in PICTURE_COLUMNS if name in catalogue.columns] + sorted(catalogue.bytes_columns)
    text, image = text or next(texts, None), image or next(iter(pictures), None)
    if text is None and image is None:
        raise InputError(
            f"{catalogue.path} has no column of a usual name; say which are text and picture with --text and --image "
            f"({', '.join(catalogue.columns)})."
        )
    return text, image
