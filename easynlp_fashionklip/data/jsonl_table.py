"""JSONL catalogues: an object a line; keys are columns, lists are several captions or pictures of one row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from easynlp_fashionklip.data.cell_text import cell_text, cell_values, count_values
from easynlp_fashionklip.data.row_index import build_row_index
from easynlp_fashionklip.data.table import Value
from easynlp_fashionklip.data.table_file import TableFile
from easynlp_fashionklip.errors import InputError

ROWS_LOOKED_AT = 1000


def parse_object(text: str | bytes, where: str) -> dict[str, Any]:
    """One JSON object.

    Raises:
        InputError: it is not JSON, no object, nested without end, or holds text that is not Unicode.
    """
    try:
        value = json.loads(text)
        if "\\u" in text if isinstance(text, str) else b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # refuses halves of surrogate pairs
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{where}: this is not JSON ({reason}); correct or remove it.") from error
    if not isinstance(value, dict):
        raise InputError(f'{where}: this is not a JSON object; write it like {{"id": "1", "caption": "..."}}.')
    return value


class JsonlTable(TableFile):
    """A JSONL file. Its columns are the keys of the first 1,000 rows; a key that a row lacks is an empty cell."""

    plain_cells = False

    def __init__(self, path: Path) -> None:
        """Index the file.

        Raises:
            InputError: missing, empty, or without a JSON object among the first rows.
        """
        index = build_row_index(path, quoted=False, keep_blank=False)
        super().__init__(path, (), index, first_record=0)
        self._latest: tuple[int, dict[str, Any]] = (-1, {})  # a pair's text and picture are asked for in turn
        self.columns = self._keys()

    def row(self, i: int) -> dict[str, str]:
        """See `Catalogue.row`.

        Raises:
            InputError: the line is not a JSON object.
        """
        parsed = self._object(i)
        return {column: cell_text(parsed.get(column)) for column in self.columns}

    def values(self, i: int, column: str) -> Sequence[Value]:
        """See `Catalogue.values`."""
        return cell_values(self._object(i).get(column))

    def counts(self, column: str) -> np.ndarray | None:
        """See `Catalogue.counts`; reads the whole file. A line that is no object counts as one."""
        counts = np.ones(len(self), dtype=np.int64)
        for i in range(len(self)):
            if b"[" in self._read(i):  # which a row without a list cannot be without
                counts[i] = self._count(i, column)
        return counts if (counts > 1).any() else None

    def _count(self, i: int, column: str) -> int:
        try:
            return count_values(self._object(i).get(column))
        except InputError:
            return 1  # told when the row is read

    def _object(self, i: int) -> dict[str, Any]:
        latest = self._latest  # of whichever thread; the pair is replaced as a whole
        if latest[0] != self.require(i):
            latest = self._latest = (i, parse_object(self._text(i), f"{self.path}, {self.place(i)}"))
        return latest[1]

    def _keys(self) -> tuple[str, ...]:
        keys: dict[str, None] = {}
        failure: InputError | None = None
        for i in range(min(len(self), ROWS_LOOKED_AT)):
            try:
                keys.update(dict.fromkeys(self._object(i)))
            except InputError as error:
                failure = failure or error
        if not keys:
            raise failure or InputError(f"{self.path} has no keys in its first rows; write objects with columns.")
        return tuple(keys)
