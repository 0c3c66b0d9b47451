"""Parquet catalogues: one file, a folder of them, or a pattern.

Parquet is made for reading columns in order, and training takes rows in any. So the columns of text are copied once
into an Arrow file that is mapped and has no name any more: it takes disk space in the folder for temporary files while
the table is open, and no memory. Columns of picture bytes stay where they are (`parquet_pictures`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from easynlp_fashionklip.data.arrow_rows import ArrowRows, map_stream, told
from easynlp_fashionklip.data.arrow_table import ArrowTable, holds_bytes
from easynlp_fashionklip.data.parquet_pictures import SLOW_GROUP_BYTES, BlockColumn, open_parquet
from easynlp_fashionklip.errors import InputError

ROWS_AT_ONCE = 4096

logger = logging.getLogger(__name__)


class ParquetTable(ArrowTable):
    """Parquet files of one schema."""

    def __init__(self, path: Path, files: tuple[Path, ...]) -> None:
        """Read the files' metadata and copy the columns of text.

        Raises:
            InputError: a file is missing, damaged or has other columns, there are no rows, or no space for the copy.
        """
        self._files = files
        opened = [_metadata(file) for file in files]
        schema = opened[0][0]
        for file, (other, _) in zip(files, opened, strict=True):
            if not other.equals(schema):
                raise InputError(f"{file} has other columns than {files[0].name}; give files of one schema.")
        super().__init__(path, "Parquet", schema)
        metadata = [one for _, one in opened]
        self._count = sum(one.num_rows for one in metadata)
        if not self._count:
            raise InputError(f"{path} has no rows; give a table with at least one.")
        self._blocks = {name: BlockColumn(path, files, metadata, name) for name in sorted(self.bytes_columns)}
        self._warn_of_big_groups()
        self._copy = _copied_text(path, files, schema)
        if self._copy is not None and len(self._copy) != self._count:
            raise InputError(f"{path} has {len(self._copy):,} rows where it says {self._count:,}; write it again.")

    def __len__(self) -> int:
        return self._count

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Catalogue.files`."""
        return self._files

    @property
    def pictures_folder(self) -> Path:
        """See `Catalogue.pictures_folder`."""
        return self._files[0].absolute().parent

    def _value(self, i: int, column: str) -> Any:
        if column in self._blocks:
            return self._blocks[column].value(i)
        if self._copy is None or column not in self.columns:
            raise KeyError(column)
        return self._copy.value(i, column)

    def _arrays(self, column: str) -> Iterator[pa.Array]:
        if column in self._blocks:
            return self._blocks[column].arrays()
        assert self._copy is not None
        return self._copy.arrays(column)

    def _warn_of_big_groups(self) -> None:
        largest = max((size for one in self._blocks.values() for size in one.group_bytes), default=0)
        if largest > SLOW_GROUP_BYTES:
            logger.warning(
                "%s keeps pictures in row groups of up to %d MB, of which rows in random order read all that comes "
                "before them; for training, write it anew with 'fashionklip data convert'",
                self.path,
                largest >> 20,
            )

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path.absolute(), "files": tuple(file.absolute() for file in self._files)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], state["files"])  # type: ignore[misc]


def _metadata(path: Path) -> tuple[pa.Schema, pq.FileMetaData]:
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path of the table.")
    with told(path, "Parquet"), open_parquet(path) as file:
        return file.schema_arrow.remove_metadata(), file.metadata


def _copied_text(path: Path, files: tuple[Path, ...], schema: pa.Schema) -> ArrowRows | None:
    """The columns of text in a mapped file without a name; None where there are none."""
    names = [field.name for field in schema if not holds_bytes(field.type)]
    if not names:
        return None
    fields = [(name, _without_codes(schema.field(name).type)) for name in names]
    plain = pa.schema(fields)
    with _nameless_file() as copy:
        try:
            with pa.OSFile(str(copy), "wb") as sink, pa.ipc.new_stream(sink, plain) as writer:
                for batch in _batches(files, names):
                    with told(path, "Parquet"):
                        columns = [_plain(column) for column in batch.columns]
                    writer.write_batch(pa.record_batch(columns, schema=plain))
        except OSError as error:
            folder = copy.parent
            raise InputError(
                f"{path}: its columns of text cannot be copied to {folder} ({error.strerror or error}); free some "
                "space there, or name another folder in the environment variable TMPDIR."
            ) from error
        return ArrowRows(path, "Parquet", *map_stream(copy, "Parquet"))


def _batches(files: tuple[Path, ...], names: list[str]) -> Iterator[pa.RecordBatch]:
    for file in files:
        with told(file, "Parquet"):
            batches = open_parquet(file).iter_batches(batch_size=ROWS_AT_ONCE, columns=names, use_threads=False)
        while True:
            with told(file, "Parquet"):
                batch = next(batches, None)
                if batch is None:
                    break
                batch.validate(full=True)
                batch = batch.select(names)
            yield batch


def _without_codes(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


@contextlib.contextmanager
def _nameless_file() -> Iterator[Path]:
    """A temporary file that loses its name at the end of the block; what has mapped it keeps it."""
    descriptor, name = tempfile.mkstemp(prefix="fashionklip-", suffix=".arrow")
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
