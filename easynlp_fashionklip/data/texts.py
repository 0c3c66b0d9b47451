"""Products' texts out of a table, a few thousand rows in memory at a time: for graphs without pictures."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from easynlp_fashionklip.data.catalogue import Catalogue, open_catalogue
from easynlp_fashionklip.data.formats import there_is
from easynlp_fashionklip.data.pairs import PRODUCT_ID_COLUMNS
from easynlp_fashionklip.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_ROWS_AT_ONCE = 4096
_BUFFER_BYTES = 1 << 20
_PARQUET_SUFFIXES = (".parquet", ".pq")


class TextTable(ABC):
    """Rows of a product id and texts; the columns of a text are joined by line ends, so that sentences stay apart."""

    def __init__(self, path: Path, names: Sequence[str], columns: Sequence[str], product_id: str | None) -> None:
        """Choose the columns.

        Args:
            path: the file, for messages.
            names: the columns that it has.
            columns: those of the text, at least one.
            product_id: that of the product's id; None or '' finds `product_id` or `id`, and else numbers the rows.

        Raises:
            InputError: no text column is given, or the file lacks a column.
        """
        if not columns:
            raise InputError(f"{path}: no text column is named; name one of {', '.join(names)}.")
        self.path = path
        self.columns = tuple(_require(path, names, column) for column in columns)
        found = next((name for name in PRODUCT_ID_COLUMNS if name in names), None)
        self.product_id_column = _require(path, names, product_id) if product_id else found

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the rows."""
        return (self.path,)

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def rows(self) -> Iterator[tuple[str, str]]:
        """(product id, text) of every row in order; a cell without a value is an empty text.

        Raises:
            InputError: the file breaks off, or a row has no product id; names the file and the row.
        """


def _require(path: Path, names: Sequence[str], column: str) -> str:
    if column in names:
        return column
    near = difflib.get_close_matches(column, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise InputError(f"{path} has no column {column!r}; its columns are {', '.join(names)}{hint}")


def open_texts(path: str | Path, columns: Sequence[str], product_id: str | None = None) -> TextTable:
    """Open a Parquet file (`.parquet`, `.pq`), which is then read in order alone, or any other catalogue.

    Raises:
        InputError: the file is missing or of another format, or lacks a column.
    """
    path = Path(path)
    if path.suffix.lower() in _PARQUET_SUFFIXES and (path.is_file() or not there_is(path)):
        return ParquetTexts(path, columns, product_id)
    return CatalogueTexts(open_catalogue(path), columns, product_id)


class CatalogueTexts(TextTable):
    """The texts of a catalogue."""

    def __init__(self, catalogue: Catalogue, columns: Sequence[str], product_id: str | None = None) -> None:
        super().__init__(catalogue.path, catalogue.columns, columns, product_id)
        self._catalogue = catalogue
        own = catalogue.id_column
        if self.product_id_column is None and own is not None and catalogue.counts(own) is None:
            self.product_id_column = own

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the rows."""
        return self._catalogue.files

    def __len__(self) -> int:
        return len(self._catalogue)

    def rows(self) -> Iterator[tuple[str, str]]:
        """See `TextTable.rows`."""
        for i in range(len(self._catalogue)):
            cells = self._catalogue.row(i)
            product = cells[self.product_id_column].strip() if self.product_id_column else str(i)
            if not product:
                place = self._catalogue.place(i)
                raise InputError(f"{self.path}, {place}: {self.product_id_column} is empty; give each row an id.")
            yield product, "\n".join(cells[column] for column in self.columns)


class ParquetTexts(TextTable):
    """The texts of a Parquet file, read through a small buffer: memory grows neither with rows nor with row groups."""

    def __init__(self, path: Path, columns: Sequence[str], product_id: str | None = None) -> None:
        with _opened(path) as file:
            schema, self._count = file.schema_arrow, file.metadata.num_rows
        super().__init__(path, schema.names, columns, product_id)
        for column in self.columns:
            if not _is_text(schema.field(column).type):
                kind = schema.field(column).type
                raise InputError(f"{path}: column {column!r} holds {kind}, not text; name a column of strings.")

    def __len__(self) -> int:
        return self._count

    def rows(self) -> Iterator[tuple[str, str]]:
        """See `TextTable.rows`."""
        wanted = [*self.columns, *([self.product_id_column] if self.product_id_column else [])]
        first = 0
        with _opened(self.path) as file:
            batches = file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=list(dict.fromkeys(wanted)))
            while (batch := _told(self.path, lambda: next(batches, None))) is not None:
                yield from self._rows_of(batch, first)
                first += len(batch)

    def _rows_of(self, batch: pa.RecordBatch, first: int) -> Iterator[tuple[str, str]]:
        cells = _told(self.path, lambda: [_strings(batch.column(column)) for column in self.columns])
        products = _strings(batch.column(self.product_id_column)) if self.product_id_column else None
        for i, texts in enumerate(zip(*cells, strict=True)):
            product = str(first + i) if products is None else products[i].strip()
            if not product:
                row = first + i + 1
                raise InputError(f"{self.path}, row {row}: {self.product_id_column} is empty; give each row an id.")
            yield product, "\n".join(texts)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _strings(column: pa.Array) -> list[str]:
    return ["" if value is None else str(value) for value in column.to_pylist()]


def _opened(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise InputError(f"{path} is not there; give an existing Parquet file.")
    return _told(path, lambda: pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES))


def _told(path: Path, read: Callable[[], T]) -> T:
    """What `read` returns; pyarrow's errors in one sentence."""
    try:
        return read()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise InputError(f"{path} cannot be read as Parquet ({reason}); write it again.") from error
