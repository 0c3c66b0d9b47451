"""Where a table's pictures come from: a column of paths or bytes, or a path put together from other columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from easynlp_fashionklip.data.image_reference import WEB_ADDRESS, image_reference
from easynlp_fashionklip.data.npz_pictures import NpzPictures
from easynlp_fashionklip.data.table import Catalogue, Value
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.records import ImageReference

# {column} or {column:format}, the format that of Python for text: {article_id:.3} are its first three characters.
_FIELD = re.compile(r"\{([^{}:]+)(?::([^{}]*))?\}")
_EXAMPLE = "images/{product_id}.jpg"
_FORMAT = re.compile(r"(.?[<>^])?0?\d{0,3}(\.\d{1,3})?s?")


class PictureColumn:
    """Turns a row into references to its pictures, without opening them."""

    def __init__(self, catalogue: Catalogue, column: str, image_root: str = "") -> None:
        """Find out how.

        Args:
            catalogue: the rows.
            column: a column, or a template like `images/{product_id}.jpg` with columns in braces.
            image_root: the folder that paths are relative to, or an .npz archive whose keys the cells are; '' is the
                folder that the format says (that of the table).

        Raises:
            InputError: the template or the root cannot be used.
        """
        self.column = column
        self.counts: np.ndarray | None = None
        self._catalogue = catalogue
        self._is_template = is_template(catalogue, column)
        if self._is_template:
            _check_template(catalogue, column)
        else:
            self.counts = catalogue.counts(column)
        self._folder, self._archive = _root(catalogue, image_root)

    def reference(self, row: int, pick: int, cells: Mapping[str, str], where: str) -> ImageReference:
        """A picture of a row.

        Args:
            row: the catalogue's row.
            pick: which of the row's pictures, from 0.
            cells: the row's text.
            where: how messages name the cell.

        Raises:
            InputError: the cell is empty, a web address or broken base64, or the archive has no such picture.
        """
        value = self._value(row, pick, cells)
        if isinstance(value, bytes):
            if not value:
                raise InputError(f"{where}: the picture is missing (the cell is empty); give its bytes.")
            return ImageReference(f"{where}, {len(value):,} bytes", encoded=value)
        if self._archive is not None:
            return self._archive.reference(value.strip(), where)
        return image_reference(value, self._folder, where)

    def _value(self, row: int, pick: int, cells: Mapping[str, str]) -> Value:
        if self._is_template:
            return _filled(self.column, cells)
        if self._catalogue.plain_cells:
            return cells[self.column]
        return self._catalogue.values(row, self.column)[pick]


def is_template(catalogue: Catalogue, column: str) -> bool:
    """Whether a picture column is named by a template: braces, and no column of that name."""
    return column not in catalogue.columns and _FIELD.search(column) is not None


def _check_template(catalogue: Catalogue, template: str) -> None:
    if set("{}") & set(_FIELD.sub("", template)):
        raise InputError(f"the picture template {template!r} has braces that hold no column; write it like {_EXAMPLE}.")
    for name, form in _FIELD.findall(template):
        if name not in catalogue.columns:
            columns = ", ".join(catalogue.columns)
            raise InputError(
                f"the picture template {template!r} names {name!r}, which {catalogue.path} does not have; its columns "
                f"are {columns}."
            )
        if not _FORMAT.fullmatch(form):
            raise InputError(
                f"the picture template {template!r} has the format {form!r}; give one for text, such as '.3' or '0>10'."
            )


def _filled(template: str, cells: Mapping[str, str]) -> str:
    """The template with the cells in it; '' when a cell is empty, as there is no picture then."""
    values = {name: cells[name].strip() for name, _ in _FIELD.findall(template)}
    if not all(values.values()):
        return ""
    return _FIELD.sub(lambda field: format(values[field[1]], field[2] or ""), template)


def _root(catalogue: Catalogue, image_root: str) -> tuple[Path, NpzPictures | None]:
    if not image_root:
        archive = catalogue.pictures_archive
        return catalogue.pictures_folder, None if archive is None else NpzPictures(archive)
    if WEB_ADDRESS.match(image_root):
        raise InputError(
            f"image_root={image_root}: web addresses are not fetched; download the pictures and give their folder."
        )
    root = Path(image_root).absolute()
    if root.suffix.lower() == ".npz":
        return root, NpzPictures(root)
    if not root.is_dir():
        raise InputError(f"image_root={image_root} is no folder; give the one that the pictures' paths begin in.")
    return root, None
