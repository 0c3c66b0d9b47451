"""TSV catalogues: EasyNLP's, whose columns `--input_schema` names, and those with a header."""

from __future__ import annotations

import re
from pathlib import Path

from easynlp_fashionklip.data.image_reference import is_encoded
from easynlp_fashionklip.data.row_index import build_row_index
from easynlp_fashionklip.data.table_file import DelimitedFile, read_record
from easynlp_fashionklip.errors import InputError

_KINDS = ("str", "int", "float")
_EXAMPLE = "write it like --input_schema=text:str:1,image:str:1"
_NAME_THEM = "name its columns, like --input_schema=text:str:1,image:str:1"
_LONGEST_NAME = 64
_NOT_A_NAME = re.compile(r"[-+.\d]*|.*\.(jpe?g|png|webp|gif|bmp|tiff?)", re.IGNORECASE)


def parse_input_schema(schema: str) -> tuple[str, ...]:
    """The column names of EasyNLP's `name:kind:length,...`, for example `text:str:1,image:str:1`.

    Raises:
        InputError: a part is not name:kind:length, a kind is unknown or a name comes twice.
    """
    names: list[str] = []
    for part in schema.split(","):
        name, *rest = (piece.strip() for piece in part.split(":"))
        if not name or len(rest) != 2 or rest[0] not in _KINDS or not rest[1].isdigit():
            raise InputError(
                f"--input_schema: {part!r} is not name:kind:length with kind str, int or float; {_EXAMPLE}."
            )
        if name in names:
            raise InputError(f"--input_schema: {name!r} comes twice in {schema!r}; give every column its own name.")
        names.append(name)
    return tuple(names)


class TsvTable(DelimitedFile):
    """A tab-separated file without quoting; every line is a row, blank lines at the end of the file apart."""

    def __init__(self, path: Path, columns: tuple[str, ...] | None, skip_first_line: bool = False) -> None:
        """Index the file.

        Args:
            path: the file.
            columns: their names; None takes them from the first line.
            skip_first_line: the first line is no row; only with `columns`.

        Raises:
            InputError: missing, empty, nothing below the first line when that is skipped or a header, or a first line
                that cannot be a header.
        """
        index = build_row_index(path, quoted=False, keep_blank=True)
        self._named = columns is not None
        if columns is None:
            columns = _header(path, read_record(path, index, 0))
            if len(index) == 1:
                raise InputError(f"{path} is a TSV file of one line; add rows below a header, or {_NAME_THEM}.")
        elif skip_first_line and len(index) == 1:
            raise InputError(f"{path} has no rows after the first line, which is skipped; add rows.")
        super().__init__(path, columns, index, first_record=int(skip_first_line or not self._named))
        if not self._named:
            self.column_hint = f" Its first line was read as a header; when it is none, {_NAME_THEM}."

    def _cells(self, text: str, i: int) -> list[str]:
        return text.split("\t")

    def _column_remedy(self) -> str:
        if self.path.suffix.lower() == ".csv":
            return "leave --input_schema out when this is a CSV file with a header"
        if not self._named:
            return "make the tabs of that line and of the header agree"
        return "make the tabs of that line and --input_schema agree"


def _header(path: Path, line: str) -> tuple[str, ...]:
    """The names in a first line; pictures, numbers, long texts and repeated cells are no names."""
    names = tuple(cell.strip() for cell in line.split("\t"))
    if len(set(names)) < len(names) or not all(map(_can_be_name, names)):
        raise InputError(f"{path} is a TSV file whose first line is no header; {_NAME_THEM}.")
    return names


def _can_be_name(cell: str) -> bool:
    return len(cell) <= _LONGEST_NAME and not _NOT_A_NAME.fullmatch(cell) and not is_encoded(cell)
