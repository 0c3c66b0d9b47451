"""What every catalogue format shares: numbered rows of named cells, read one at a time in any process and thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

Value = str | bytes


class Catalogue(ABC):
    """A table on disk.

    A cell is text. It may also hold several values, such as a picture's captions or a product's pictures, and a
    value may be the bytes of a picture file: `values` gives those. Pickling carries what is needed to open the file
    again on the other side; forked processes and threads open it for themselves.
    """

    id_column: str | None = None
    """The column whose values tell products apart where none is named `product_id` or `id`."""
    plain_cells = True
    """Whether the text of a cell is all there is to it: one value, no bytes."""
    bytes_columns: frozenset[str] = frozenset()
    """Columns of picture files; their cells have no text."""
    column_hint = ""
    """What to say after "has no column ..." about a format whose column names may have been misread."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.folder = path.absolute().parent
        self.columns = columns

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def row(self, i: int) -> Mapping[str, str]:
        """The text of every cell of row `i` (counted from 0); several values are joined by line breaks.

        Cells may be read when they are asked for.

        Raises:
            InputError: the row cannot be read, or the cell asked for holds bytes.
            IndexError: there is no such row.
        """

    @abstractmethod
    def place(self, i: int) -> str:
        """How messages name row `i` within the file: "line 7"."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the rows."""
        return (self.path,)

    @property
    def pictures_folder(self) -> Path:
        """What a picture's path is relative to."""
        return self.folder

    @property
    def pictures_archive(self) -> Path | None:
        """The .npz archive whose keys the picture cells are, if they are."""
        return None

    @property
    def index_bytes(self) -> int:
        """Bytes of memory that finding a row takes."""
        return 0

    def counts(self, column: str) -> np.ndarray | None:
        """int64 (len,): how many values the column's cell of each row has, at least 1; None where all have one."""
        return None

    def values(self, i: int, column: str) -> Sequence[Value]:
        """The values of one cell, at least one; an absent one is ''.

        Raises:
            InputError: the row cannot be read.
        """
        return (self.row(i)[column],)

    def require(self, i: int) -> int:
        """`i`, if there is such a row.

        Raises:
            IndexError: there is not.
        """
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of {self.path}, which has {len(self)} rows")
        return i
