"""Picture embeddings beside a graph, so that it grows without the old pictures: 4 d bytes a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.columns import Columns, write_columns
from easynlp_fashionklip.graph.prototypes import image_ids_of
from easynlp_fashionklip.graph.tables import Pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURES = "pictures.parquet"
EMBEDDINGS = "embeddings.npy"
_ROWS_AT_ONCE = 16384


def write_pictures(pictures: Pictures, folder: Path) -> None:
    """Write `pictures.parquet` (image_id, product_id, picture_key) and `embeddings.npy`, whose row i is picture i."""
    if len(pictures.embeds) != len(pictures):
        raise ValueError(f"{len(pictures.embeds)} embeddings come for {len(pictures)} pictures.")
    columns: Columns = {
        "image_id": pa.array(image_ids_of(pictures.product_ids), pa.string()),
        "product_id": pa.array(pictures.product_ids, pa.string()),
        "picture_key": pa.array(pictures.keys),
    }
    write_columns(columns, folder / PICTURES)
    _write_embeddings(pictures.embeds, folder / EMBEDDINGS)


def _write_embeddings(embeds: NDArray[np.float32], path: Path) -> None:
    """A bounded number of rows at a time: they may be mapped from a file that does not fit memory."""
    described = {"descr": "<f4", "fortran_order": False, "shape": embeds.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, described)
        for start in range(0, len(embeds), _ROWS_AT_ONCE):
            block = np.ascontiguousarray(embeds[start : start + _ROWS_AT_ONCE], dtype="<f4")
            file.write(block.tobytes())  # not `tofile`, which does not say why it could not write


def open_embeddings(path: Path) -> NDArray[np.float32]:
    """Map an N x d float32 file; changes to the array do not reach the file.

    Raises:
        InputError: it is missing, damaged or of another type.
    """
    remedy = "rebuild the graph with 'fashionklip graph build' or restore the file."
    if not path.is_file():
        raise InputError(f"{path}: is missing; {remedy}")
    try:
        embeds: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read as NumPy array ({error}); {remedy}") from error
    if embeds.dtype != np.dtype("<f4") or embeds.ndim != 2:
        raise InputError(f"{path}: holds {embeds.ndim}-dimensional {embeds.dtype}, not rows of float32; {remedy}")
    return embeds
