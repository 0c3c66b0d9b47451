"""The pairs of a catalogue: which columns are text, picture and product, read lazily."""

from __future__ import annotations

import copy
import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import numpy as np

from easynlp_fashionklip.data.cells import Replaced
from easynlp_fashionklip.data.expansion import expand
from easynlp_fashionklip.data.picture_column import PictureColumn, is_template
from easynlp_fashionklip.data.table import Catalogue
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.records import ImageReference, ImageTextPair

PRODUCT_ID_COLUMNS = ("product_id", "id")
_SHOWN_COLUMNS, _SHOWN_NAME = 60, 80


def stable_key(value: str) -> int:
    """A 64-bit signed hash of `value`, the same in every process, run and machine (BLAKE2b)."""
    digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def text_key(text: str) -> int:
    """`stable_key` of the text with blanks collapsed and case folded: texts that read the same share it."""
    return stable_key(" ".join(text.split()).casefold())


def _require_column(catalogue: Catalogue, column: str, role: str) -> str:
    if column in catalogue.columns:
        return column
    near = difflib.get_close_matches(column, catalogue.columns, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r} for the {role}?" if near else f"; name another one for the {role}."
    columns = _listed(catalogue.columns)
    raise InputError(
        f"{catalogue.path} has no column {column!r}; its columns are {columns}{hint}{catalogue.column_hint}"
    )


def _listed(columns: Sequence[str]) -> str:
    """Names for a message; a file read the wrong way can have very many."""
    shown = ", ".join(column[:_SHOWN_NAME] for column in columns[:_SHOWN_COLUMNS])
    return shown if len(columns) <= _SHOWN_COLUMNS else f"{shown} and {len(columns) - _SHOWN_COLUMNS} more"


def _require_text(catalogue: Catalogue, column: str, role: str = "text") -> str:
    if _require_column(catalogue, column, role) in catalogue.bytes_columns:
        raise InputError(f"{catalogue.path}: column {column!r} holds bytes, not text; name a column of text.")
    return column


def _require_picture(catalogue: Catalogue, column: str) -> str:
    return column if is_template(catalogue, column) else _require_column(catalogue, column, "image")


def _product_id_column(catalogue: Catalogue, asked: str | None) -> str | None:
    if asked:
        return _require_text(catalogue, asked, "product id")
    names = set(catalogue.columns) - catalogue.bytes_columns
    return next((name for name in PRODUCT_ID_COLUMNS if name in names), catalogue.id_column)


class PairTable:
    """Pairs of picture and text of a catalogue, or of some of its rows.

    Rows are read when asked for. A row with several captions or pictures is that many pairs of one product: every
    picture with every caption. A pair's `position` counts this table's from 0; `subset` renumbers. Without a product id
    column the row's number in the catalogue (from 0) is its id.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        text: str | None,
        image: str | None = None,
        product_id: str | None = None,
        image_root: str = "",
    ) -> None:
        """Choose the columns.

        Args:
            catalogue: the rows.
            text: column of the text; None for pictures alone.
            image: column of the picture (a path, base64, or bytes where the format has them), or a template such as
                `images/{product_id}.jpg` with columns in braces; None for texts alone.
            product_id: column of the product's id; None or '' finds `product_id` or `id`, or what the format has.
            image_root: folder that the pictures' paths are relative to, or .npz archive that holds them; '' is the
                table's folder.

        Raises:
            InputError: a column is missing, the root cannot be used, or neither text nor image is given.
        """
        if text is None and image is None:
            raise InputError(f"{catalogue.path}: neither a text nor an image column is named; name at least one.")
        self.catalogue = catalogue
        self.text_column = None if text is None else _require_text(catalogue, text)
        self.image_column = None if image is None else _require_picture(catalogue, image)
        self.product_id_column = _product_id_column(catalogue, product_id)
        self.skipped: Mapping[str, int] = {}
        self._pictures = None if image is None else PictureColumn(catalogue, image, image_root)
        captions = None if text is None else catalogue.counts(text)
        self._expansion = expand(len(catalogue), captions, None if self._pictures is None else self._pictures.counts)
        self._rows = None if self._expansion is None else self._expansion.rows
        self._product_keys: np.ndarray | None = None
        self._text_keys: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.catalogue) if self._rows is None else len(self._rows)

    def catalogue_row(self, position: int) -> int:
        """The number of the catalogue's row (from 0) behind a position of this table."""
        if not 0 <= position < len(self):
            raise IndexError(f"position {position} of a table of {len(self)} pairs")
        return position if self._rows is None else int(self._rows[position])

    def where(self, position: int) -> str:
        """How messages name a row: file and line."""
        return f"{self.catalogue.path}, {self.catalogue.place(self.catalogue_row(position))}"

    def cells(self, position: int) -> Mapping[str, str]:
        """All cells of a pair's row by column name; of several captions or pictures, the pair's own.

        Raises:
            InputError: the row cannot be read.
        """
        row = self.catalogue_row(position)
        cells = self.catalogue.row(row)
        if self._expansion is None:
            return cells
        own: dict[str, str] = {}
        if self.image_column in self.catalogue.columns and self.image_column not in self.catalogue.bytes_columns:
            pictures = self.catalogue.values(row, self.image_column)
            own[self.image_column] = cast(str, pictures[self.picture_number(position)])
        if self.text_column is not None:
            captions = self.catalogue.values(row, self.text_column)
            own[self.text_column] = cast(str, captions[int(self._expansion.captions[position])])
        return Replaced(cells, own)

    def picture_number(self, position: int) -> int:
        """Which of its row's pictures a pair has, from 0."""
        return 0 if self._expansion is None else int(self._expansion.pictures[position])

    def text_of(self, cells: Mapping[str, str]) -> str:
        """The text among a row's cells; '' when the table has none."""
        return "" if self.text_column is None else cells[self.text_column]

    def product_id_of(self, position: int, cells: Mapping[str, str]) -> str:
        """The product id among a row's cells, without blanks around it, or the row's number."""
        if self.product_id_column is None:
            return str(self.catalogue_row(position))
        return cells[self.product_id_column].strip()

    def image_of(self, position: int, cells: Mapping[str, str]) -> ImageReference | None:
        """The reference to the picture among a row's cells; None when the table has none.

        Raises:
            InputError: the cell is empty, a web address or broken base64.
        """
        if self._pictures is None:
            return None
        where = f"{self.where(position)}, column {self.image_column!r}"
        return self._pictures.reference(self.catalogue_row(position), self.picture_number(position), cells, where)

    def pair(self, position: int) -> ImageTextPair:
        """Read one pair; its picture is not opened.

        Raises:
            InputError: the row or its picture cell cannot be used.
        """
        cells = self.cells(position)
        product_id, image = self.product_id_of(position, cells), self.image_of(position, cells)
        return ImageTextPair(position, product_id, self.text_of(cells), image)

    def product_id(self, position: int) -> str:
        """Read the product id of one row."""
        if self.product_id_column is None:
            return str(self.catalogue_row(position))
        return self.product_id_of(position, self.cells(position))

    def text(self, position: int) -> str:
        """Read the text of one row."""
        return self.text_of(self.cells(position))

    def texts(self) -> Iterator[str]:
        """The texts in order, one at a time."""
        return map(self.text, range(len(self)))

    @property
    def product_keys(self) -> np.ndarray:
        """int64 (len,): `stable_key` of each row's product id."""
        return self._keys()[0]

    @property
    def text_keys(self) -> np.ndarray:
        """int64 (len,): `text_key` of each row's text; of a table without texts, keys that no two rows share."""
        return self._keys()[1]

    def keys_of(self, position: int, cells: Mapping[str, str]) -> tuple[int, int]:
        """Product key and text key of a row whose cells are at hand."""
        product = stable_key(self.product_id_of(position, cells))
        if self.text_column is None:
            return product, self.catalogue_row(position) + (self.picture_number(position) << 40)
        return product, text_key(self.text_of(cells))

    def set_keys(self, product_keys: np.ndarray, text_keys: np.ndarray) -> None:
        """Give the keys that a pass over the rows has found, so that they need not be computed again."""
        if not len(product_keys) == len(text_keys) == len(self):
            raise ValueError(f"{len(product_keys)} and {len(text_keys)} keys for a table of {len(self)} pairs")
        self._product_keys, self._text_keys = product_keys, text_keys

    def subset(self, positions: np.ndarray | Sequence[int]) -> PairTable:
        """The table of these positions, in this order, counted from 0 again; product ids stay what they are.

        Raises:
            IndexError: a position is not in the table.
        """
        chosen = np.asarray(positions, dtype=np.int64).reshape(-1)
        if len(chosen) and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise IndexError(f"positions {chosen.min()} to {chosen.max()} of a table of {len(self)} pairs")
        table = copy.copy(self)
        table.skipped, table._product_keys, table._text_keys = {}, None, None
        table._rows = chosen if self._rows is None else self._rows[chosen]
        table._expansion = self._expansion and self._expansion.of(chosen)
        if self._product_keys is not None and self._text_keys is not None:
            table.set_keys(self._product_keys[chosen], self._text_keys[chosen])
        return table

    def _keys(self) -> tuple[np.ndarray, np.ndarray]:
        if self._product_keys is None or self._text_keys is None:
            product_keys, text_keys = np.empty(len(self), np.int64), np.empty(len(self), np.int64)
            for position in range(len(self)):
                product_keys[position], text_keys[position] = self.keys_of(position, self.cells(position))
            self._product_keys, self._text_keys = product_keys, text_keys
        return self._product_keys, self._text_keys
