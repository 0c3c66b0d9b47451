"""Rows out of mapped Arrow record batches: found by bisection, checked before their first value is taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from easynlp_fashionklip.errors import InputError

ARROW_ERRORS = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, KeyError, TypeError, IndexError)


def unreadable(path: Path, kind: str, error: BaseException) -> InputError:
    """pyarrow's error in one sentence."""
    reason = str(error).split("\n")[0].rstrip(".") or type(error).__name__
    return InputError(f"{path} cannot be read as {kind} ({reason[:300]}); write it again.")


@contextmanager
def told(path: Path, kind: str) -> Iterator[None]:
    """Turn pyarrow's errors into InputErrors, and let those that are already pass."""
    try:
        yield
    except InputError:
        raise
    except ARROW_ERRORS as error:
        raise unreadable(path, kind, error) from error


class ArrowRows:
    """Record batches of one schema. Mapped from a file they take no memory of their own."""

    def __init__(self, path: Path, kind: str, schema: pa.Schema, batches: list[pa.RecordBatch]) -> None:
        """Take the batches.

        Args:
            path: the file, for messages.
            kind: what it should be, for messages.
            schema: of every batch.
            batches: the rows.
        """
        self.path = path
        self.kind = kind
        self.schema = schema
        self._batches = [batch for batch in batches if batch.num_rows]
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self._checked: dict[tuple[int, str], pa.Array] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def value(self, i: int, column: str) -> Any:
        """The Python value of a cell.

        Raises:
            InputError: its batch is damaged.
        """
        batch = int(np.searchsorted(self._starts, i, side="right")) - 1
        try:
            return self._array(batch, column)[i - int(self._starts[batch])].as_py()
        except ARROW_ERRORS as error:
            raise unreadable(self.path, self.kind, error) from error

    def arrays(self, column: str) -> Iterator[pa.Array]:
        """A column's values, a batch at a time.

        Raises:
            InputError: a batch is damaged.
        """
        for batch in range(len(self._batches)):
            with told(self.path, self.kind):
                array = self._array(batch, column)
            yield array

    def _array(self, batch: int, column: str) -> pa.Array:
        """Offsets of a damaged file would lead out of the mapped memory: all are looked at before the first use."""
        key = (batch, column)
        if key not in self._checked:
            array = self._batches[batch].column(column)
            array.validate(full=True)
            self._checked[key] = array
        return self._checked[key]


def map_stream(path: Path, kind: str) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """Map an Arrow IPC file, in the stream format or the file format.

    Raises:
        InputError: it is missing, cut off or something else.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give an existing file, or save the data set again.")
    with told(path, kind):
        source = pa.memory_map(str(path), "r")
        if source.read(6) == b"ARROW1":
            source.seek(0)
            file = pa.ipc.open_file(source)
            return file.schema, [file.get_batch(number) for number in range(file.num_record_batches)]
        source.seek(0)
        stream = pa.ipc.open_stream(source)
        return stream.schema, list(stream)
