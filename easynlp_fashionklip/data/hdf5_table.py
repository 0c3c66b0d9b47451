"""FashionGen's HDF5 files: a data set a column, pictures as pixels (extra `[hdf5]`, h5py).

Columns of FashionGen (Rostamzadeh et al. 2018, arXiv 1806.08317): `input_image` uint8 N x H x W x 3,
`input_description`, `input_name`, `input_category`, `input_subcategory`, ... bytes N x 1 in Latin-1, `input_productID`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from easynlp_fashionklip.data.cell_text import cell_text
from easynlp_fashionklip.data.cells import LazyRow
from easynlp_fashionklip.data.images import MAX_PIXELS
from easynlp_fashionklip.data.per_thread import PerThread
from easynlp_fashionklip.data.pixels import encode_pixels
from easynlp_fashionklip.data.row_index import MAX_ROW_BYTES
from easynlp_fashionklip.data.table import Catalogue, Value
from easynlp_fashionklip.errors import InputError

PRODUCT_ID = "input_productID"
BLOCK_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 28
# h5py hands on what the C library says as one of these.
_DAMAGED = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError, AttributeError)


class _Reader:
    """One thread's open file, and a block of rows of each column of text."""

    def __init__(self, path: Path) -> None:
        self._file = _h5py().File(path, "r", locking=False)
        self._columns: dict[str, tuple[Any, int]] = {}
        self._blocks: dict[str, tuple[int, np.ndarray]] = {}

    def value(self, column: str, i: int) -> Any:
        if column not in self._columns:
            self._columns[column] = self._open(column)
        data, rows = self._columns[column]
        if not rows:
            return data[i]
        known = self._blocks.get(column)
        if known is None or known[0] != i // rows:
            start = i // rows * rows
            known = self._blocks[column] = (i // rows, data[start : start + rows])
        return known[1][i % rows]

    def _open(self, column: str) -> tuple[Any, int]:
        """A data set, and how many of its rows make a block; 0 reads them one at a time."""
        data = self._file[column]
        if data.ndim == 4 or data.dtype.hasobject:
            return data, 0
        return data, max(1, BLOCK_BYTES // max(1, data.dtype.itemsize * int(np.prod(data.shape[1:]))))


class Hdf5Table(Catalogue):
    """The data sets of one file that have a row each for every product."""

    plain_cells = False

    def __init__(self, path: Path) -> None:
        """Look at the data sets' shapes.

        Raises:
            InputError: h5py is not installed; the file is missing, damaged, without pictures or texts, or refers to
                other files.
        """
        if not path.is_file():
            raise InputError(f"{path} does not exist; check the path of the table.")
        try:
            with _h5py().File(path, "r", locking=False) as file:
                shapes = _usable(path, file)
        except _DAMAGED as error:
            raise _unreadable(path, error) from error
        if not shapes:
            raise InputError(f"{path} has no data sets of rows; give a file like FashionGen's, with input_image.")
        self._count = _row_count(shapes)
        shapes = {name: one for name, one in shapes.items() if one[0][0] == self._count}
        super().__init__(path, tuple(shapes))
        self.bytes_columns = frozenset(name for name, (shape, _) in shapes.items() if len(shape) == 4)
        self.id_column = PRODUCT_ID if PRODUCT_ID in shapes else None
        self._connect()

    def __len__(self) -> int:
        return self._count

    def place(self, i: int) -> str:
        """See `Catalogue.place`; rows are counted from 1."""
        return f"row {i + 1}"

    def row(self, i: int) -> Mapping[str, str]:
        """See `Catalogue.row`."""
        self.require(i)
        return LazyRow(self.columns, lambda column: self._text(i, column))

    def values(self, i: int, column: str) -> Sequence[Value]:
        """See `Catalogue.values`; a picture is a PPM file of its pixels."""
        if column not in self.bytes_columns:
            return (self.row(i)[column],)
        try:
            return (encode_pixels(np.asarray(self._read(self.require(i), column))),)
        except ValueError as error:
            raise InputError(f"{self.path}, {self.place(i)}: {column!r} is no picture ({error}).") from error

    def _text(self, i: int, column: str) -> str:
        if column in self.bytes_columns:
            raise InputError(f"{self.path}, {self.place(i)}: column {column!r} holds pixels; name a column of text.")
        return _decoded(self._read(i, column))

    def _read(self, i: int, column: str) -> Any:
        try:
            return self._reader.get().value(column, i)
        except _DAMAGED as error:
            raise _unreadable(self.path, error) from error

    def _connect(self) -> None:
        path = self.folder / self.path.name
        self._reader: PerThread[_Reader] = PerThread(lambda: _Reader(path))

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_reader"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connect()


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            "HDF5 files need h5py, which is not installed: pip install 'easynlp-fashionklip[hdf5]'."
        ) from error
    return h5py


def _usable(path: Path, file: Any) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of the data sets that can be columns: text or numbers N or N x 1, pixels N x H x W x 3."""
    h5py = _h5py()
    found = {}
    for name in file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise InputError(f"{path}: {name!r} is a link to another place; copy the data into the file.")
        data = file[name]
        if not isinstance(data, h5py.Dataset):
            continue
        if data.external or data.is_virtual:
            raise InputError(f"{path}: {name!r} keeps its data in another file; copy the data into the file.")
        if _is_column(data) and not _too_large(data):
            found[str(name)] = (tuple(data.shape), data.dtype)
    return found


def _row_count(shapes: dict[str, tuple[tuple[int, ...], np.dtype]]) -> int:
    """The length of the pictures, or else that of most columns."""
    pictures = [shape[0] for shape, _ in shapes.values() if len(shape) == 4]
    lengths = Counter(pictures or [shape[0] for shape, _ in shapes.values()])
    return lengths.most_common(1)[0][0]


def _is_column(data: Any) -> bool:
    shape, kind = data.shape, data.dtype.kind
    if not shape or not shape[0]:
        return False
    if len(shape) == 4:
        return bool(shape[3] == 3 and data.dtype == np.uint8)
    return kind in "SOiufb" and (len(shape) == 1 or shape[1:] == (1,))


def _too_large(data: Any) -> bool:
    """Whether one row, or one chunk that it lies in, would take absurdly much memory."""
    row = int(np.prod(data.shape[1:], dtype=object)) if len(data.shape) > 1 else 1
    chunk = int(np.prod(data.chunks, dtype=object)) if data.chunks else 0
    limit = 3 * MAX_PIXELS if len(data.shape) == 4 else MAX_ROW_BYTES
    return row * data.dtype.itemsize > limit or chunk * data.dtype.itemsize > _CHUNK_BYTES


def _decoded(value: Any) -> str:
    value = value[0] if isinstance(value, np.ndarray) and value.shape == (1,) else value
    if isinstance(value, bytes):  # numpy.bytes_ too
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")
    return cell_text(value.item() if isinstance(value, np.generic) else value)


def _unreadable(path: Path, error: BaseException) -> InputError:
    if isinstance(error, InputError):
        return error
    reason = str(error).split("\n")[0].rstrip(".") or type(error).__name__
    return InputError(f"{path} cannot be read as HDF5 ({reason[:300]}); check that the file is whole.")
