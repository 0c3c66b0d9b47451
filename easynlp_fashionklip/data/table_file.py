"""Tables that are one text file with a record a row: only where the records start is in memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from easynlp_fashionklip.data.per_thread import PerThread
from easynlp_fashionklip.data.row_index import RowIndex
from easynlp_fashionklip.data.table import Catalogue
from easynlp_fashionklip.errors import InputError


class TableFile(Catalogue):
    """A text file of records. Pickling carries path and offsets; the file is reopened on the other side."""

    def __init__(self, path: Path, columns: tuple[str, ...], index: RowIndex, first_record: int) -> None:
        super().__init__(path, columns)
        self._index = index
        self._first_record = first_record
        self._connect()

    def __len__(self) -> int:
        return len(self._index) - self._first_record

    def line_number(self, i: int) -> int:
        """The line of the file, counted from 1, on which row `i` (counted from 0) begins."""
        return self._index.line_number(self._record(i))

    def place(self, i: int) -> str:
        """See `Catalogue.place`."""
        return f"line {self.line_number(i)}"

    @property
    def index_bytes(self) -> int:
        """Bytes of memory that the row index takes."""
        return self._index.starts.nbytes + self._index.jump_records.nbytes + self._index.jump_lines.nbytes

    @abstractmethod
    def row(self, i: int) -> Mapping[str, str]:
        """See `Catalogue.row`."""

    def _record(self, i: int) -> int:
        return self.require(i) + self._first_record

    def _text(self, i: int) -> str:
        record = self._record(i)
        return decode_record(self.path, self.line_number(i), self._read(record))

    def _read(self, record: int) -> bytes:
        start, end = int(self._index.starts[record]), int(self._index.starts[record + 1])
        try:
            file = self._open_file.get()
            file.seek(start)
            data = file.read(end - start)
        except OSError as error:
            raise InputError(f"{self.path} can no longer be read ({error.strerror or error}); put it back.") from error
        if len(data) != end - start:
            raise InputError(f"{self.path} became shorter while it was being read; start again with a finished file.")
        return data

    def _connect(self) -> None:
        path = self.folder / self.path.name
        self._open_file: PerThread[BinaryIO] = PerThread(lambda: path.open("rb"))

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_open_file"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connect()


class DelimitedFile(TableFile):
    """A text file whose rows are split into cells by a mark; each has as many as the table has columns."""

    def row(self, i: int) -> dict[str, str]:
        """See `Catalogue.row`.

        Raises:
            InputError: the row is not UTF-8 or has another number of cells than the table has columns.
        """
        cells = self._cells(self._text(i), i)
        if len(cells) != len(self.columns):
            raise InputError(
                f"{self.path}, line {self.line_number(i)}: found {len(cells)} columns where {len(self.columns)} are "
                f"expected ({', '.join(self.columns)}); {self._column_remedy()}."
            )
        return dict(zip(self.columns, cells, strict=True))

    @abstractmethod
    def _cells(self, text: str, i: int) -> list[str]:
        """Split the text of row `i` into cells."""

    @abstractmethod
    def _column_remedy(self) -> str:
        """What to do about a row with too few or too many cells."""


def read_record(path: Path, index: RowIndex, record: int) -> str:
    """The text of one record of a file that is not a catalogue yet (its header)."""
    start, end = int(index.starts[record]), int(index.starts[record + 1])
    with path.open("rb") as file:
        file.seek(start)
        return decode_record(path, index.line_number(record), file.read(end - start))


def decode_record(path: Path, line: int, data: bytes) -> str:
    """Decode a record without the line breaks after it.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return data.rstrip(b"\r\n").decode("utf-8")
    except UnicodeDecodeError as error:
        broken = data[error.start : error.start + 4]
        raise InputError(f"{path}, line {line}: {broken!r} is not UTF-8; save the table as UTF-8.") from error
