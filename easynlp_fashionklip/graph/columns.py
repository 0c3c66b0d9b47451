"""Parquet files written a group of rows at a time: Arrow's writer takes several times the memory of its input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_OF_A_GROUP = 1 << 16


@dataclass(frozen=True)
class Coded:
    """A column that repeats few values: row i is `values[index[i]]`."""

    index: np.ndarray
    values: pa.Array

    @property
    def type(self) -> pa.DataType:
        """Of the values."""
        return self.values.type

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.index)

    def slice(self, start: int, length: int) -> pa.Array:
        """Some rows, written out."""
        return self.values.take(pa.array(self.index[start : start + length]))


Columns = dict[str, pa.Array | Coded]


def write_columns(columns: Columns, path: Path) -> None:
    """Write columns of equal length to one file."""
    rows = len(next(iter(columns.values())))
    schema = pa.schema([(name, column.type) for name, column in columns.items()])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, ROWS_OF_A_GROUP):
            part = {name: column.slice(start, ROWS_OF_A_GROUP) for name, column in columns.items()}
            writer.write_table(pa.table(part))
