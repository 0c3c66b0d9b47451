"""The prototypes' pictures, found again in the catalogue that the graph was built from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.images import open_image
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.prototypes import image_ids_of
from easynlp_fashionklip.graph.store import ConceptGraph

logger = logging.getLogger(__name__)


class PrototypePictures:
    """Opens pictures by image id: the product's id, `id#1`, `id#2`, ... for its second, third, ... picture."""

    def __init__(self, table: PairTable, graph: ConceptGraph) -> None:
        """Find the graph's prototypes among the rows of `table`.

        Raises:
            InputError: the graph has prototypes and the table none of them.
        """
        wanted = set(graph.tables.prototypes.image_ids)
        names = image_ids_of([table.product_id(position) for position in range(len(table))]) if wanted else []
        self._table = table
        self._position = {name: position for position, name in enumerate(names) if name in wanted}
        self._unreadable = 0
        path = table.catalogue.path
        if wanted and not self._position:
            raise InputError(
                f"{path} has none of the {len(wanted):,} prototypes of {graph.origin} (one is "
                f"{min(wanted)!r}); give the catalogue that the graph was built from, or its product id column."
            )
        if len(self._position) < len(wanted):
            logger.warning("%s lacks %d of %d prototype pictures", path, len(wanted) - len(self), len(wanted))

    def __len__(self) -> int:
        """How many of the prototypes the catalogue has."""
        return len(self._position)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._position

    def open(self, image_id: str, near: int) -> Image.Image | None:
        """The picture in RGB, decoded for a side of `near` pixels; None, with a word in the log, if it cannot be read.

        Raises:
            KeyError: the catalogue does not have it.
        """
        try:
            pair = self._table.pair(self._position[image_id])
            return None if pair.image is None else open_image(pair.image, near=near)
        except InputError as error:
            self._unreadable += 1
            if self._unreadable == 1:
                logger.warning("left out: %s", str(error).partition(";")[0])
            return None

    def ids(self) -> Iterator[str]:
        """Image ids in the catalogue's order."""
        return iter(self._position)


def open_pictures(
    graph: ConceptGraph,
    catalog: str | Path | None,
    image: str | None,
    product_id: str | None = None,
    input_schema: str | None = None,
    image_root: str = "",
) -> PrototypePictures | None:
    """The pictures of a graph's prototypes from a catalogue; None when neither `catalog` nor `image` is given.

    Raises:
        InputError: only one of the two is given, the file or a column is missing, or no prototype is among the rows.
    """
    if catalog is None and image is None:
        if product_id or input_schema or image_root:
            raise InputError(
                "--product_id, --input_schema and --image_root belong to --catalog; give --catalog and --image too."
            )
        return None
    if catalog is None or image is None:
        missing, given = ("--catalog", f"--image={image}") if catalog is None else ("--image", f"--catalog={catalog}")
        raise InputError(f"{given} comes without {missing}; pictures need the table and its picture column.")
    table = PairTable(open_catalogue(catalog, input_schema=input_schema), None, image, product_id, image_root)
    return PrototypePictures(table, graph)
