"""What Parquet files and Hugging Face data sets share: typed columns, some of them pictures' bytes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easynlp_fashionklip.data.arrow_rows import told
from easynlp_fashionklip.data.cell_text import cell_text, cell_values
from easynlp_fashionklip.data.cells import LazyRow
from easynlp_fashionklip.data.table import Catalogue, Value
from easynlp_fashionklip.errors import InputError


class ArrowTable(Catalogue):
    """A table with an Arrow schema; text cells of numbers are their digits, of lists one line an item."""

    plain_cells = False

    def __init__(self, path: Path, kind: str, schema: pa.Schema) -> None:
        """Take the columns.

        Raises:
            InputError: there are none, or two of one name.
        """
        with told(path, kind):
            names = tuple(schema.names)
            pictures = frozenset(field.name for field in schema if holds_bytes(field.type))
        if not names or len(set(names)) < len(names):
            raise InputError(f"{path} has no columns, or two of one name ({', '.join(names)}); write it again.")
        super().__init__(path, names)
        self.kind = kind
        self.schema = schema
        self.bytes_columns = pictures

    def place(self, i: int) -> str:
        """See `Catalogue.place`; rows are counted from 1."""
        return f"row {i + 1}"

    def row(self, i: int) -> Mapping[str, str]:
        """See `Catalogue.row`."""
        self.require(i)
        return LazyRow(self.columns, lambda column: self._text(i, column))

    def values(self, i: int, column: str) -> Sequence[Value]:
        """See `Catalogue.values`."""
        return cell_values(self._value(self.require(i), column))

    def counts(self, column: str) -> np.ndarray | None:
        """See `Catalogue.counts`; reads the column if its type is a list."""
        if not is_list(self.schema.field(column).type):
            return None
        parts = [np.zeros(0, dtype=np.int64)]
        with told(self.path, self.kind):
            for array in self._arrays(column):
                lengths = pc.fill_null(pc.list_value_length(array), 0)
                parts.append(lengths.to_numpy(zero_copy_only=False).astype(np.int64))
        counts = np.maximum(np.concatenate(parts), 1)
        return counts if (counts > 1).any() else None

    def _text(self, i: int, column: str) -> str:
        if column in self.bytes_columns:
            raise InputError(
                f"{self.path}, {self.place(i)}: column {column!r} holds bytes, not text; name a column of text."
            )
        return cell_text(self._value(i, column))

    @abstractmethod
    def _value(self, i: int, column: str) -> Any:
        """The Python value of a cell of a row that there is.

        Raises:
            InputError: the file is damaged there.
        """

    @abstractmethod
    def _arrays(self, column: str) -> Iterator[pa.Array]:
        """A column from its first row to its last."""


def is_list(kind: pa.DataType) -> bool:
    """Whether a column has several values a row."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column, or a list column's items, are bytes or Hugging Face's pictures: a struct with `bytes`."""
    if is_list(kind):
        return holds_bytes(kind.value_type)
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and holds_bytes(field.type) for field in kind)
    if pa.types.is_dictionary(kind):
        return holds_bytes(kind.value_type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
