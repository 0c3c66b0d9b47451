"""Where the rows of a text table start: one vectorised pass, 8 bytes a row, nothing of the rows kept."""

from __future__ import annotations

import csv
import logging
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from easynlp_fashionklip.errors import InputError

CHUNK_BYTES = 4 << 20
MAX_ROW_BYTES = 64 << 20
UTF8_BOM = b"\xef\xbb\xbf"

_NEWLINE, _RETURN, _QUOTE, _COMMA = 10, 13, 34, 44
_BEFORE_OPENING = np.array([_COMMA, _NEWLINE, _QUOTE], dtype=np.uint8)
_AFTER_CLOSING = np.array([_COMMA, _NEWLINE, _QUOTE, _RETURN], dtype=np.uint8)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RowIndex:
    """Byte offsets and line numbers of the records of a file.

    `starts` (n + 1, int64) holds each record's first byte and, last, the end of the data. Line numbers are kept only
    where they stop following the record's number (`jump_records`, `jump_lines`): after a quoted line break or a
    blank line.
    """

    starts: np.ndarray
    jump_records: np.ndarray
    jump_lines: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def line_number(self, record: int) -> int:
        """The line, counted from 1, on which the record begins."""
        jump = int(np.searchsorted(self.jump_records, record, side="right")) - 1
        return record + int(self.jump_lines[jump])


class _StrayQuoteError(Exception):
    """A quotation mark inside an unquoted cell: counting marks no longer tells where rows end."""


class _IndexBuilder:
    """Collects records in file order; shared by the fast and the exact scan."""

    def __init__(self) -> None:
        self.count = 0
        self._starts: list[np.ndarray] = []
        self._jump_records: list[np.ndarray] = []
        self._jump_lines: list[np.ndarray] = []
        self._last_shift: int | None = None

    def add(self, starts: np.ndarray, lines: np.ndarray) -> None:
        """Append records: byte offsets and 1-based lines, both int64 of the same length."""
        if not len(starts):
            return
        records = np.arange(self.count, self.count + len(starts))
        shifts = lines - records
        before = shifts[0] - 1 if self._last_shift is None else self._last_shift
        jumps = np.flatnonzero(np.diff(shifts, prepend=before))
        self._starts.append(starts)
        self._jump_records.append(records[jumps])
        self._jump_lines.append(shifts[jumps])
        self._last_shift = int(shifts[-1])
        self.count += len(starts)

    def finish(self, end: int, count: int | None = None) -> RowIndex:
        """The index of the first `count` records (default all) of data that ends at byte `end`."""
        empty = np.empty(0, dtype=np.int64)
        starts = np.concatenate([*self._starts, np.array([end], dtype=np.int64)])
        if count is not None and count < self.count:
            starts = starts[: count + 1].copy()
        return RowIndex(
            starts,
            np.concatenate([empty, *self._jump_records]),
            np.concatenate([empty, *self._jump_lines]),
        )


class _FastScan:
    """Finds record ends by counting quotation marks: a line break ends a record when an even number precedes it."""

    def __init__(self, start: int, quoted: bool, keep_blank: bool) -> None:
        self.builder = _IndexBuilder()
        self.last_filled = 0
        self.last_quote_line = 0
        self.inside_quotes = False
        self._quoted = quoted
        self._keep_blank = keep_blank
        self._offset = start
        self._record_start = start
        self._record_line = 1
        self._line = 1
        self._last_byte = _NEWLINE
        self._closing_at_end = False

    def feed(self, chunk: bytes) -> None:
        """Scan the next bytes of the file."""
        data = np.frombuffer(chunk, dtype=np.uint8)
        newlines = np.flatnonzero(data == _NEWLINE)
        numbers = np.arange(1, len(newlines) + 1)
        if self._quoted:
            outside = self._outside_quotes(data, newlines)
            ends, numbers = newlines[outside], numbers[outside]
        else:
            ends = newlines
        self._add_records(data, ends, numbers)
        self._line += len(newlines)
        self._offset += len(data)
        self._last_byte = int(data[-1])

    def finish(self, size: int) -> RowIndex:
        """Close the last record, which may lack its line break."""
        if self._record_start < size and not (self._record_start == size - 1 and self._last_byte == _RETURN):
            self.builder.add(np.array([self._record_start]), np.array([self._record_line]))
            self.last_filled = self.builder.count
        return self.builder.finish(size, self.last_filled)

    def _outside_quotes(self, data: np.ndarray, newlines: np.ndarray) -> np.ndarray:
        quotes = np.flatnonzero(data == _QUOTE)
        opened = int(self.inside_quotes)
        self._refuse_stray(data, quotes, opened)
        outside: np.ndarray = ((np.searchsorted(quotes, newlines) + opened) & 1) == 0
        if len(quotes):
            self.last_quote_line = self._line + int(np.searchsorted(newlines, quotes[-1]))
        self.inside_quotes = bool((opened + len(quotes)) & 1)
        return outside

    def _refuse_stray(self, data: np.ndarray, quotes: np.ndarray, opened: int) -> None:
        opening, closing = quotes[opened::2], quotes[1 - opened :: 2]
        before = data[opening - 1]
        if len(opening) and opening[0] == 0:
            before[0] = self._last_byte
        after = data[closing[closing < len(data) - 1] + 1]
        if self._closing_at_end:
            after = np.append(after, data[0])
        if not (np.isin(before, _BEFORE_OPENING).all() and np.isin(after, _AFTER_CLOSING).all()):
            raise _StrayQuoteError
        self._closing_at_end = bool(len(closing)) and int(closing[-1]) == len(data) - 1

    def _add_records(self, data: np.ndarray, ends: np.ndarray, numbers: np.ndarray) -> None:
        if not len(ends):
            return
        starts = np.concatenate([[self._record_start], ends[:-1] + 1 + self._offset])
        lines = np.concatenate([[self._record_line], numbers[:-1] + self._line])
        lengths = ends + self._offset - starts
        before = data[ends - 1]
        if ends[0] == 0:
            before[0] = self._last_byte
        filled = np.flatnonzero((lengths > 1) | ((lengths == 1) & (before != _RETURN)))
        already = self.builder.count
        if self._keep_blank:
            self.builder.add(starts, lines)
            self.last_filled = already + int(filled[-1]) + 1 if len(filled) else self.last_filled
        else:
            self.builder.add(starts[filled], lines[filled])
            self.last_filled = self.builder.count
        self._record_start = int(ends[-1]) + 1 + self._offset
        self._record_line = int(numbers[-1]) + self._line


class _CountedLines:
    """The lines of a binary file as text for `csv.reader`, counting bytes and lines handed out.

    Latin-1 keeps one character a byte; marks, commas and line breaks are the same bytes in UTF-8. A blank line comes
    last: it is an empty record of its own unless a quotation is still open.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.offset = file.tell()
        self.line = 1
        self._file = file

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.offset += len(line)
            self.line += 1
            yield line.decode("latin-1")
        yield "\n"


def allow_long_cells() -> None:
    """Let `csv` read cells up to `MAX_ROW_BYTES` (a base64 picture); its own limit of 128 KiB is process-wide."""
    if csv.field_size_limit() < MAX_ROW_BYTES:
        csv.field_size_limit(MAX_ROW_BYTES)


def _never_closed(path: Path, line: int) -> InputError:
    return InputError(
        f"{path}, line {line}: a quotation mark opened here is never closed; close it, or double a mark that belongs "
        "to the text."
    )


def _scan_exactly(path: Path, start: int) -> RowIndex:
    """Let `csv.reader` decide where records end: slower, but right with stray quotation marks."""
    allow_long_cells()
    builder = _IndexBuilder()
    starts, lines = array("q"), array("q")
    with path.open("rb") as file:
        file.seek(start)
        source = _CountedLines(file)
        begin, line = start, 1
        cells: list[str] = []
        try:
            for cells in csv.reader(source):
                if cells:
                    starts.append(begin)
                    lines.append(line)
                begin, line = source.offset, source.line
        except csv.Error as error:
            raise InputError(f"{path}, line {line}: {error}; mend the quotation marks of that row.") from error
        if cells:
            raise _never_closed(path, lines[-1])
    builder.add(np.frombuffer(starts, dtype=np.int64), np.frombuffer(lines, dtype=np.int64))
    return builder.finish(begin)


def _scan_fast(path: Path, start: int, quoted: bool, keep_blank: bool) -> RowIndex:
    scan = _FastScan(start, quoted, keep_blank)
    size = start
    with path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(CHUNK_BYTES):
            size += len(chunk)
            scan.feed(chunk)
    if scan.inside_quotes:
        raise _never_closed(path, scan.last_quote_line)
    return scan.finish(size)


def _refuse_long_rows(path: Path, index: RowIndex) -> None:
    lengths = np.diff(index.starts)
    if len(lengths) and lengths.max() > MAX_ROW_BYTES:
        line = index.line_number(int(lengths.argmax()))
        raise InputError(
            f"{path}, line {line}: the row that begins here is {lengths.max():,} bytes long, more than the "
            f"{MAX_ROW_BYTES:,} allowed; look for a quotation mark that is not closed."
        )


def build_row_index(path: Path, *, quoted: bool, keep_blank: bool) -> RowIndex:
    """Index the records of a UTF-8 text file by byte offset, reading it once in chunks.

    Args:
        path: the file; a byte order mark is stepped over.
        quoted: line breaks between quotation marks belong to the cell (CSV).
        keep_blank: blank lines are records (except at the end of the file) instead of being passed over.

    Raises:
        InputError: the file cannot be read, is empty, is UTF-16, has an unclosed quotation or an absurdly long row.
    """
    try:
        with path.open("rb") as file:
            head = file.read(3)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"{path} is UTF-16; save it as UTF-8.")
        start = len(UTF8_BOM) if head == UTF8_BOM else 0
        try:
            index = _scan_fast(path, start, quoted, keep_blank)
        except _StrayQuoteError:
            logger.debug("%s has quotation marks inside unquoted cells; indexing it with the exact reader", path)
            index = _scan_exactly(path, start)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path of the table.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check the path of the table.") from error
    if not len(index):
        raise InputError(f"{path} is empty; give a table with at least one row.")
    _refuse_long_rows(path, index)
    return index
