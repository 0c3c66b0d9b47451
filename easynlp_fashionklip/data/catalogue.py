"""Open a catalogue file, whatever its format."""

from __future__ import annotations

from pathlib import Path

from easynlp_fashionklip.data.csv_table import CsvTable
from easynlp_fashionklip.data.table_file import Catalogue
from easynlp_fashionklip.data.tsv_table import TsvTable, parse_input_schema
from easynlp_fashionklip.errors import InputError

__all__ = ["Catalogue", "open_catalogue"]


def open_catalogue(path: str | Path, *, input_schema: str | None = None, skip_first_line: bool = False) -> Catalogue:
    """Open a catalogue and index its rows; the rows themselves stay on disk.

    Args:
        path: a CSV file with a header or, with `input_schema`, a TSV file without one.
        input_schema: EasyNLP's column list, for example `text:str:1,image:str:1`; None or '' means CSV.
        skip_first_line: the TSV file's first line is a header to step over; a CSV file's header is known anyway.

    Raises:
        InputError: the file is missing, empty, of another format, or the schema is malformed.
    """
    path = Path(path)
    if input_schema:
        return TsvTable(path, parse_input_schema(input_schema), skip_first_line)
    if path.suffix.lower() == ".tsv" and path.is_file():
        raise InputError(f"{path} is a TSV file; name its columns, like --input_schema=text:str:1,image:str:1.")
    return CsvTable(path)
