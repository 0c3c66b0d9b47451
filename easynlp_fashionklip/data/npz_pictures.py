"""Pictures in a NumPy archive, as FashionKLIP's release keeps them: `str(item id)` to an array.

The release's arrays (see `graph/export/release.py` for the source) are float 3 x H x W "after transformation", that is
with CLIP's mean and deviation; that is undone. Arrays of uint8 are taken as pixels (H x W x 3 or 3 x H x W), and
one-dimensional ones as the bytes of a picture file.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from easynlp_fashionklip.data.per_thread import PerThread
from easynlp_fashionklip.data.pixels import encode_pixels
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.records import ImageReference

MAX_ARRAY_BYTES = 64 << 20
# CLIP's, from github.com/openai/CLIP.
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
_DAMAGED = (OSError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, KeyError)


class NpzPictures:
    """The pictures of one archive, read one at a time; its table of contents is in memory."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            InputError: it is missing or no archive.
        """
        self.path = path
        self._connect()
        self._archive.get()

    def reference(self, key: str, where: str) -> ImageReference:
        """The picture of an item as the bytes of a picture file.

        Raises:
            InputError: there is none, or its array is no picture.
        """
        origin = f"{where}, value {key!r}"
        if not key:
            raise InputError(f"{where}: the picture is missing (the cell is empty); give the id of one in {self.path}.")
        archive = self._archive.get()
        try:
            info = archive.getinfo(f"{key}.npy")
        except KeyError:
            raise InputError(f"{origin}: {self.path} has no picture of that id; add it or remove the row.") from None
        if info.file_size > MAX_ARRAY_BYTES:
            raise InputError(f"{origin}: its array in {self.path} is too large ({info.file_size:,} bytes); shrink it.")
        try:
            with archive.open(info) as member:
                array = _array(member.read(MAX_ARRAY_BYTES + 1))
            return ImageReference(origin, encoded=_encoded(array))
        except _DAMAGED as error:
            raise InputError(f"{origin}: its array in {self.path} cannot be read ({error}); write it again.") from error

    def _connect(self) -> None:
        path = self.path.absolute()
        self._archive: PerThread[zipfile.ZipFile] = PerThread(lambda: _opened(path))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path.absolute()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connect()


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; give the archive of the pictures.") from error
    except _DAMAGED as error:
        raise InputError(f"{path} cannot be read as .npz archive ({error}); write it again.") from error


def _array(content: bytes) -> np.ndarray:
    """The array of an .npy file; its header is believed only as far as there are bytes for it."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not loaded")
    rest = content[file.tell() :]
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if count < 0 or count * dtype.itemsize != len(rest):
        raise ValueError(f"it has {len(rest):,} bytes where its shape {shape} needs {count * dtype.itemsize:,}")
    return np.frombuffer(rest, dtype=dtype).reshape(shape, order="F" if fortran_order else "C")


def _encoded(array: np.ndarray) -> bytes:
    if array.dtype.kind == "S" and array.ndim == 0:
        return bytes(array.item())
    if array.dtype == np.uint8 and array.ndim == 1:
        return array.tobytes()
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(f"it has the shape {array.shape}, not 3 x height x width")
    if array.dtype.kind == "f":
        values = (array.astype(np.float32) * _STD + _MEAN) * 255
        array = np.rint(np.clip(np.nan_to_num(values), 0, 255)).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(f"it holds {array.dtype}, not float or uint8")
    return encode_pixels(array)
