"""Open a catalogue, whatever its format."""

from __future__ import annotations

from pathlib import Path

from easynlp_fashionklip.data.csv_table import CsvTable
from easynlp_fashionklip.data.formats import find_files, format_of
from easynlp_fashionklip.data.jsonl_table import JsonlTable
from easynlp_fashionklip.data.release_table import ReleaseTable, is_release
from easynlp_fashionklip.data.table import Catalogue
from easynlp_fashionklip.data.tsv_table import TsvTable, parse_input_schema
from easynlp_fashionklip.errors import InputError

__all__ = ["Catalogue", "open_catalogue"]


def open_catalogue(path: str | Path, *, input_schema: str | None = None, skip_first_line: bool = False) -> Catalogue:
    """Open a catalogue and index its rows; the rows themselves stay on disk.

    Args:
        path: a file or folder of one of the formats of `data.formats`, or a pattern of Parquet files or tar shards.
        input_schema: EasyNLP's column list, for example `text:str:1,image:str:1`, for a TSV file without header; None
            or '' goes by the file's name.
        skip_first_line: with `input_schema`, the first line is a header to step over; other headers are known anyway.

    Raises:
        InputError: the file is missing, empty, damaged or of another format, or the schema is malformed.
    """
    path = Path(path)
    if "\0" in str(path):
        raise InputError(f"{str(path)!r} is no path; it holds a NUL character.")
    if input_schema:
        return TsvTable(path, parse_input_schema(input_schema), skip_first_line)
    kind = format_of(path)
    if kind == "csv":
        return CsvTable(path)
    if kind == "tsv":
        return TsvTable(path, None)
    if kind == "jsonl":
        table = JsonlTable(path)
        return ReleaseTable(path) if is_release(table) else table
    return _open_binary(path, kind)


def _open_binary(path: Path, kind: str) -> Catalogue:
    """Formats whose libraries are imported only when they are needed."""
    if kind == "parquet":
        from easynlp_fashionklip.data.parquet_table import ParquetTable

        return ParquetTable(path, find_files(path))
    if kind == "tar":
        from easynlp_fashionklip.data.tar_table import TarTable

        return TarTable(path, find_files(path))
    if kind == "arrow":
        from easynlp_fashionklip.data.hf_table import HfTable

        return HfTable(path)
    from easynlp_fashionklip.data.hdf5_table import Hdf5Table

    return Hdf5Table(path)
