"""A column of Parquet files read a block of rows at a time: pictures are too big to copy or to hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easynlp_fashionklip.data.arrow_rows import ARROW_ERRORS, unreadable
from easynlp_fashionklip.data.per_thread import PerThread

BLOCK_BYTES = 32 << 20
SLOW_GROUP_BYTES = 16 << 20
BUFFER_BYTES = 1 << 20


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a file without reading ahead of what is asked for."""
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)


class _Reader:
    """One thread's place in one column: a block of rows, and an iterator that goes on behind it."""

    def __init__(self, column: BlockColumn) -> None:
        self._column = column
        self._files: dict[int, pq.ParquetFile] = {}
        self._group = -1
        self._start = self._stop = 0
        self._block: pa.Array | None = None
        self._blocks: Iterator[pa.RecordBatch] = iter(())

    def value(self, i: int) -> Any:
        if not self._start <= i < self._stop:
            self._move_to(i)
        assert self._block is not None
        return self._block[i - self._start].as_py()

    def _move_to(self, i: int) -> None:
        group = int(np.searchsorted(self._column.starts, i, side="right")) - 1
        if group != self._group or i < self._start:
            self._open(group)
        while i >= self._stop:
            batch = next(self._blocks, None)
            if batch is None or not len(batch):
                raise pa.ArrowInvalid("a row group has fewer rows than the file says")
            array = batch.column(self._column.name)
            array.validate(full=True)
            self._start, self._stop, self._block = self._stop, self._stop + len(array), array

    def _open(self, group: int) -> None:
        column = self._column
        file, own = column.groups[group]
        if file not in self._files:
            self._files.clear()  # never more than one open file a thread
            self._files[file] = open_parquet(column.files[file])
        self._start = self._stop = int(column.starts[group])
        self._block, self._group = None, group
        self._blocks = self._files[file].iter_batches(
            batch_size=column.block_rows[group], row_groups=[own], columns=[column.name], use_threads=False
        )


class BlockColumn:
    """A column of several files as one. A block is a row group, or 32 MB of it where it is bigger.

    Rows in order cost one pass. Of rows in random order each costs what comes before it in its row group.
    """

    def __init__(self, path: Path, files: tuple[Path, ...], metadata: list[pq.FileMetaData], name: str) -> None:
        self.path = path
        self.files = files
        self.name = name
        groups = [(file, group) for file, one in enumerate(metadata) for group in range(one.num_row_groups)]
        self.groups = [at for at in groups if metadata[at[0]].row_group(at[1]).num_rows > 0]
        rows = [metadata[file].row_group(group).num_rows for file, group in self.groups]
        self.group_bytes = [_bytes_of(metadata[file].row_group(group), name) for file, group in self.groups]
        self.starts = np.cumsum([0, *rows])
        self.block_rows = [
            max(1, min(count, count * BLOCK_BYTES // max(1, size)))
            for count, size in zip(rows, self.group_bytes, strict=True)
        ]
        self._connect()

    def value(self, i: int) -> Any:
        """The Python value of a row.

        Raises:
            InputError: the file is damaged there.
        """
        try:
            return self._reader.get().value(i)
        except ARROW_ERRORS as error:
            self._connect()  # the reader may be lost inside the file
            raise unreadable(self.path, "Parquet", error) from error

    def arrays(self) -> Iterator[pa.Array]:
        """The values in order, a block at a time."""
        for (file, group), rows in zip(self.groups, self.block_rows, strict=True):
            source = open_parquet(self.files[file])
            for batch in source.iter_batches(rows, row_groups=[group], columns=[self.name], use_threads=False):
                batch.validate(full=True)
                yield batch.column(self.name)

    def _connect(self) -> None:
        self._reader: PerThread[_Reader] = PerThread(lambda: _Reader(self))


def _bytes_of(group: pq.RowGroupMetaData, name: str) -> int:
    """Bytes of a column in a row group, uncompressed; the parts of a struct count together."""
    columns = (group.column(number) for number in range(group.num_columns))
    return sum(one.total_uncompressed_size for one in columns if one.path_in_schema.split(".")[0] == name)
