"""CSV catalogues: a header, commas, quotation marks as in RFC 4180."""

from __future__ import annotations

import csv
from pathlib import Path

from easynlp_fashionklip.data.row_index import RowIndex, allow_long_cells, build_row_index
from easynlp_fashionklip.data.table_file import DelimitedFile, read_record
from easynlp_fashionklip.errors import InputError


def split_csv_record(text: str, path: Path, line: int) -> list[str]:
    """Split one CSV record, which may hold quoted line breaks, into cells.

    Raises:
        InputError: naming `path` and `line` when the record is not CSV.
    """
    if len(text) >= csv.field_size_limit():
        allow_long_cells()
    try:
        return next(csv.reader([text]), [])
    except csv.Error as error:
        raise InputError(
            f"{path}, line {line}: {str(error).split(' - ')[0]}; quote cells that hold commas or line breaks, and end "
            "lines with LF or CRLF."
        ) from error


def _header(path: Path, index: RowIndex) -> tuple[str, ...]:
    line = index.line_number(0)
    columns = [cell.strip() for cell in split_csv_record(read_record(path, index, 0), path, line)]
    repeated = {name for name in columns if columns.count(name) > 1}
    if repeated:
        raise InputError(
            f"{path}, line {line}: the header names {sorted(repeated)[0]!r} more than once; rename all but one."
        )
    if len(columns) == 1 and (separator := next((mark for mark in "\t;|" if mark in columns[0]), "")):
        raise InputError(
            f"{path}, line {line}: the header is one column, {columns[0]!r}; separate the columns with commas instead "
            f"of {separator!r}, or give --input_schema when it is a TSV file without a header."
        )
    return tuple(columns)


class CsvTable(DelimitedFile):
    """A CSV file with a header; cells may hold quoted commas, line breaks and doubled quotation marks."""

    def __init__(self, path: Path) -> None:
        """Index the file.

        Raises:
            InputError: missing, empty, no row below the header, not UTF-8, repeated column names.
        """
        index = build_row_index(path, quoted=True, keep_blank=False)
        columns = _header(path, index)
        if len(index) == 1:
            raise InputError(f"{path} has a header but no rows; give a table with at least one row.")
        super().__init__(path, columns, index, first_record=1)

    def _cells(self, text: str, i: int) -> list[str]:
        return split_csv_record(text, self.path, self.line_number(i))

    def _column_remedy(self) -> str:
        return "quote cells that hold commas or line breaks"
