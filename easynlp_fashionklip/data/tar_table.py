"""Webdataset shards: tar archives in which members of one name but the ending are one sample.

A sample is a picture (`key.jpg`, `.png`, `.webp`, ...) with its caption in `key.txt`, or in `key.json` beside other
fields. Format: github.com/webdataset/webdataset. A key is the name up to the first dot after the last slash; members
of a sample follow each other.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from easynlp_fashionklip.data.cell_text import cell_text, cell_values, count_values
from easynlp_fashionklip.data.cells import LazyRow
from easynlp_fashionklip.data.jsonl_table import ROWS_LOOKED_AT, parse_object
from easynlp_fashionklip.data.per_thread import PerThread
from easynlp_fashionklip.data.row_index import MAX_ROW_BYTES
from easynlp_fashionklip.data.table import Catalogue, Value
from easynlp_fashionklip.data.tar_members import Member, members
from easynlp_fashionklip.errors import InputError

KEY, IMAGE, CAPTION = "key", "image", "caption"
PICTURE_ENDINGS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "jp2", "avif")
_TEXT, _JSON, _PICTURE = "txt", "json", "picture"
_PART_OF = {**dict.fromkeys(PICTURE_ENDINGS, _PICTURE), "txt": _TEXT, "json": _JSON}

Sample = dict[str, Member]


class _Shards:
    """One thread's open archive; another one closes it."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: BinaryIO | None = None

    def open(self, path: Path) -> BinaryIO:
        if self._file is None or path != self._path:
            if self._file is not None:
                self._file.close()
            self._file, self._path = path.open("rb"), path
        return self._file


class TarTable(Catalogue):
    """Samples of one or several shards; only the offset of each sample's first header is in memory.

    Columns: `key`, `image`, `caption` (of the .json, or else the .txt) and the .json's other keys.
    """

    plain_cells = False
    id_column = KEY
    bytes_columns = frozenset({IMAGE})

    def __init__(self, path: Path, shards: tuple[Path, ...]) -> None:
        """Go through the shards' headers once.

        Raises:
            InputError: a shard is missing, damaged, cut off, or has links in it, or there is no sample.
        """
        super().__init__(path, ())
        self._shards = tuple(shard.absolute() for shard in shards)
        self._latest: tuple[int, Sample] = (-1, {})  # a pair's text and picture are asked for in turn
        self._connect()
        self._sizes = [self._size(shard) for shard in self._shards]
        found = [self._index(shard, size) for shard, size in zip(self._shards, self._sizes, strict=True)]
        self._starts = np.concatenate(found)
        self._shard_starts = np.cumsum([0, *map(len, found)])
        if not len(self):
            raise InputError(f"{path} has no samples; pack each picture as KEY.jpg beside KEY.txt or KEY.json.")
        self._has_text = self._has_json = False
        self.columns = self._find_columns()

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Catalogue.files`."""
        return self._shards

    @property
    def index_bytes(self) -> int:
        """See `Catalogue.index_bytes`."""
        return int(self._starts.nbytes)

    def place(self, i: int) -> str:
        """See `Catalogue.place`: the shard, if there are several, and the sample's number in it from 1."""
        shard = self._shard_of(i)
        number = f"sample {i - int(self._shard_starts[shard]) + 1}"
        return number if len(self._shards) == 1 else f"{self._shards[shard].name}, {number}"

    def row(self, i: int) -> Mapping[str, str]:
        """See `Catalogue.row`; texts are read when they are asked for, the picture by `values` alone."""
        sample = self._sample(self.require(i))
        parsed: list[dict[str, Any]] = []

        def read(column: str) -> str:
            if column == KEY:
                return _key(next(iter(sample.values())).name)
            if column == IMAGE:
                raise InputError(f"{self.path}, {self.place(i)}: 'image' holds bytes, not text; name a column of text.")
            if not parsed:
                parsed.append(self._json(i, sample))
            return cell_text(self._own(i, sample, parsed[0], column))

        return LazyRow(self.columns, read)

    def values(self, i: int, column: str) -> Sequence[Value]:
        """See `Catalogue.values`."""
        sample = self._sample(self.require(i))
        if column == IMAGE:
            return (self._content(i, sample[_PICTURE]) if _PICTURE in sample else "",)
        if column == KEY:
            return (self.row(i)[column],)
        return cell_values(self._own(i, sample, self._json(i, sample), column))

    def counts(self, column: str) -> np.ndarray | None:
        """See `Catalogue.counts`; reads every .json, if there are any. A damaged one counts as one."""
        if column in (KEY, IMAGE) or not self._has_json:
            return None
        counts = np.array([self._count(i, column) for i in range(len(self))], dtype=np.int64)
        return counts if (counts > 1).any() else None

    # ---- samples

    def _index(self, shard: Path, size: int) -> np.ndarray:
        """int64: where the first header of each sample is."""
        starts = array("q")
        with self._reading(shard) as file:
            for start, sample in _samples(members(file, shard, 0, size)):
                if sample:
                    starts.append(start)
        return np.array(starts, dtype=np.int64)

    def _shard_of(self, i: int) -> int:
        return int(np.searchsorted(self._shard_starts, i, side="right")) - 1

    def _sample(self, i: int) -> Sample:
        latest = self._latest  # of whichever thread; the pair is replaced as a whole
        if latest[0] != i:
            latest = self._latest = (i, self._read_sample(i))
        return latest[1]

    def _read_sample(self, i: int) -> Sample:
        number = self._shard_of(i)
        shard, size = self._shards[number], self._sizes[number]
        stop = int(self._starts[i + 1]) if i + 1 < self._shard_starts[number + 1] else None
        with self._reading(shard) as file:
            found = next(_samples(members(file, shard, int(self._starts[i]), size, stop)), None)
        if found is None:
            raise InputError(f"{shard} was changed while it was being read; start again with a finished file.")
        return found[1]

    def _content(self, i: int, member: Member) -> bytes:
        shard = self._shards[self._shard_of(i)]
        if member.size > MAX_ROW_BYTES:
            raise InputError(f"{self.path}, {self.place(i)}: {member.name!r} is too large ({member.size:,} bytes).")
        with self._reading(shard) as file:
            file.seek(member.data)
            content = file.read(member.size)
        if len(content) < member.size:
            raise InputError(f"{shard} became shorter while it was being read; start again with a finished file.")
        return content

    def _decoded(self, i: int, member: Member) -> str:
        try:
            return self._content(i, member).decode("utf-8")
        except UnicodeDecodeError as error:
            where = f"{self.path}, {self.place(i)}"
            raise InputError(f"{where}: {member.name!r} is not UTF-8; write the text as UTF-8.") from error

    def _json(self, i: int, sample: Sample) -> dict[str, Any]:
        if _JSON not in sample:
            return {}
        return parse_object(self._decoded(i, sample[_JSON]), f"{self.path}, {self.place(i)}, {sample[_JSON].name!r}")

    def _own(self, i: int, sample: Sample, parsed: dict[str, Any], column: str) -> Any:
        """A column's value of a sample whose .json is at hand."""
        if column == CAPTION and CAPTION not in parsed and _TEXT in sample:
            return self._decoded(i, sample[_TEXT]).strip()
        return parsed.get(column)

    def _count(self, i: int, column: str) -> int:
        try:
            return count_values(self._json(i, self._sample(i)).get(column))
        except InputError:
            return 1  # told when the row is read

    def _find_columns(self) -> tuple[str, ...]:
        """From the first samples."""
        keys: dict[str, None] = {}
        for i in range(min(len(self), ROWS_LOOKED_AT)):
            try:
                sample = self._sample(i)
                self._has_text |= _TEXT in sample
                self._has_json |= _JSON in sample
                keys.update(dict.fromkeys(self._json(i, sample)))
            except InputError:
                continue  # told when the row is read
        caption = (CAPTION,) if self._has_text else ()
        return tuple(dict.fromkeys((KEY, IMAGE, *caption, *(key for key in keys if key not in (KEY, IMAGE)))))

    # ---- files

    def _size(self, shard: Path) -> int:
        with self._reading(shard) as file:
            return file.seek(0, os.SEEK_END)

    @contextmanager
    def _reading(self, shard: Path) -> Iterator[BinaryIO]:
        try:
            yield self._open.get().open(shard)
        except OSError as error:
            raise InputError(f"{shard} cannot be read ({error.strerror or error}); check the path.") from error

    def _connect(self) -> None:
        self._open: PerThread[_Shards] = PerThread(_Shards)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_open"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connect()


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return (folder + slash + base.partition(".")[0]).encode("utf-8", "replace").decode("utf-8")


def _samples(found: Iterator[Member]) -> Iterator[tuple[int, Sample]]:
    """Runs of members that belong together: where the first header is, and the parts that are known.

    A part that the run has already begins a new one.
    """
    start, key, sample = -1, "", Sample()
    for member in found:
        part = _PART_OF.get(member.name.rpartition("/")[2].partition(".")[2].lower())
        if start >= 0 and (_key(member.name) != key or part in sample):
            yield start, sample
            start = -1
        if start < 0:
            start, key, sample = member.header, _key(member.name), Sample()
        if part is not None:
            sample[part] = member
    if start >= 0:
        yield start, sample
