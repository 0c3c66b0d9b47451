"""One pair on its way from one format to another, and the names its columns have there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from easynlp_fashionklip.data.images import check_image, describe_image, read_bytes
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.pixels import as_png, is_raw
from easynlp_fashionklip.records import ImageReference

PRODUCT_ID, CAPTION, IMAGE = "product_id", "caption", "image"
_ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif", "JPEG2000": "jp2", "DIB": "bmp"}


@dataclass(frozen=True)
class Picture:
    """A picture file. `number` tells it from the table's others: (row of the source, which of its pictures)."""

    number: tuple[int, int]
    content: bytes
    ending: str


@dataclass(frozen=True)
class Record:
    """A pair's product id, text, picture (None in a table without) and other cells by the names they will have."""

    product_id: str
    caption: str | None
    picture: Picture | None
    others: Mapping[str, str]


class RecordReader:
    """Reads the pairs of a table as records."""

    def __init__(self, table: PairTable) -> None:
        self.table = table
        catalogue = table.catalogue
        special = {table.text_column, table.image_column, table.product_id_column, catalogue.id_column}
        special |= catalogue.bytes_columns
        self.others = free_names([column for column in catalogue.columns if column not in special])

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the records, `image` last."""
        caption = () if self.table.text_column is None else (CAPTION,)
        image = () if self.table.image_column is None else (IMAGE,)
        return (PRODUCT_ID, *caption, *self.others.values(), *image)

    def read(self, position: int) -> Record:
        """One pair; its picture's bytes as they are in the source, or PNG where that has pixels.

        Raises:
            InputError: the row or the picture cannot be used.
        """
        cells = self.table.cells(position)
        return Record(
            self.table.product_id_of(position, cells),
            None if self.table.text_column is None else self.table.text_of(cells),
            self._picture(position, cells),
            {name: cells[column] for column, name in self.others.items()},
        )

    def _picture(self, position: int, cells: Mapping[str, str]) -> Picture | None:
        reference = self.table.image_of(position, cells)
        if reference is None:
            return None
        check_image(reference)
        content = read_bytes(reference)
        if is_raw(content):
            content = as_png(content)
        kind, _ = describe_image(ImageReference(reference.origin, encoded=content))
        number = (self.table.catalogue_row(position), self.table.picture_number(position))
        return Picture(number, content, _ENDINGS.get(kind, kind.lower()))


def free_names(columns: list[str]) -> dict[str, str]:
    """Each column's name in the target: its own, with `_` behind it if the target's own columns have that name."""
    taken = {PRODUCT_ID, CAPTION, IMAGE, "key"}
    names: dict[str, str] = {}
    for column in columns:
        name = " ".join(column.split()) or "column"
        while name in taken:
            name += "_"
        taken.add(name)
        names[column] = name
    return names
