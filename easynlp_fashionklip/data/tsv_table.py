"""EasyNLP's TSV catalogues: no header, tabs, columns named by `--input_schema`."""

from __future__ import annotations

from pathlib import Path

from easynlp_fashionklip.data.row_index import build_row_index
from easynlp_fashionklip.data.table_file import Catalogue
from easynlp_fashionklip.errors import InputError

_KINDS = ("str", "int", "float")
_EXAMPLE = "write it like --input_schema=text:str:1,image:str:1"


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


class TsvTable(Catalogue):
    """A tab-separated file without quoting; every line is a row, blank lines at the end of the file apart."""

    def __init__(self, path: Path, columns: tuple[str, ...], skip_first_line: bool = False) -> None:
        """Index the file.

        Raises:
            InputError: missing, empty, or nothing below the first line when that is skipped.
        """
        index = build_row_index(path, quoted=False, keep_blank=True)
        if skip_first_line and len(index) == 1:
            raise InputError(f"{path} has no rows after the first line, which is skipped; add rows.")
        super().__init__(path, columns, index, first_record=int(skip_first_line))

    def _cells(self, text: str, i: int) -> list[str]:
        return text.split("\t")

    def _column_remedy(self) -> str:
        if self.path.suffix.lower() == ".csv":
            return "leave --input_schema out when this is a CSV file with a header"
        return "make the tabs of that line and --input_schema agree"
