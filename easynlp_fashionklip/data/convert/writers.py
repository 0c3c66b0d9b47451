"""One writer for each format: `write` takes records in order, `close` finishes the file."""

from __future__ import annotations

import base64
import csv
import io
import json
import tarfile
from abc import ABC, abstractmethod
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from easynlp_fashionklip.data.convert.record import CAPTION, IMAGE, PRODUCT_ID, Picture, Record
from easynlp_fashionklip.data.image_reference import is_encoded

GROUP_ROWS, GROUP_BYTES = 4096, 2 << 20
SHARD_SAMPLES, SHARD_BYTES = 10_000, 1 << 30
_FOLDER_PICTURES = 1000


class Writer(ABC):
    """Writes records of fixed columns; `image` is the last of them if there is one."""

    def __init__(self, target: Path, columns: tuple[str, ...]) -> None:
        self.target = target
        self.columns = columns
        self.altered = 0  # texts that the format cannot hold as they are

    @abstractmethod
    def write(self, record: Record) -> None:
        """Append a record."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file. Not called when something failed."""

    def cells(self, record: Record) -> dict[str, str]:
        """A record's text by column."""
        caption = {} if record.caption is None else {CAPTION: record.caption}
        return {PRODUCT_ID: record.product_id, **caption, **record.others}


class _FolderWriter(Writer):
    """A table beside `images/`. Pictures are numbered, so that no name comes from the data."""

    def __init__(self, target: Path, columns: tuple[str, ...]) -> None:
        super().__init__(target, columns)
        self._count = 0
        self._last: tuple[tuple[int, int], str] = ((-1, -1), "")

    def stored(self, picture: Picture) -> str:
        """Write a picture, once for all its captions, and return its path in the folder."""
        if picture.number != self._last[0]:
            name = f"images/{self._count // _FOLDER_PICTURES:05d}/{self._count:08d}.{picture.ending}"
            (self.target / name).parent.mkdir(parents=True, exist_ok=True)
            (self.target / name).write_bytes(picture.content)
            self._last = (picture.number, name)
            self._count += 1
        return self._last[1]

    def cells(self, record: Record) -> dict[str, str]:
        """With the picture's path."""
        image = {} if record.picture is None else {IMAGE: self.stored(record.picture)}
        return {**super().cells(record), **image}


class CsvWriter(_FolderWriter):
    """`catalogue.csv` and `images/`."""

    def __init__(self, target: Path, columns: tuple[str, ...]) -> None:
        super().__init__(target, columns)
        self._file = (target / "catalogue.csv").open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._quoted = csv.writer(self._file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self._rows.writerow(columns)

    def write(self, record: Record) -> None:
        """See `Writer.write`."""
        cells = self.cells(record)
        row = [cells[column] for column in self.columns]
        # The plain writer leaves a lone carriage return without quotation marks, which readers take for a line end.
        (self._quoted if any("\r" in cell for cell in row) else self._rows).writerow(row)

    def close(self) -> None:
        """See `Writer.close`."""
        self._file.close()


class JsonlWriter(_FolderWriter):
    """`catalogue.jsonl` and `images/`."""

    def __init__(self, target: Path, columns: tuple[str, ...]) -> None:
        super().__init__(target, columns)
        self._file = (target / "catalogue.jsonl").open("w", encoding="utf-8", newline="\n")

    def write(self, record: Record) -> None:
        """See `Writer.write`."""
        self._file.write(json.dumps(self.cells(record), ensure_ascii=False) + "\n")

    def close(self) -> None:
        """See `Writer.close`."""
        self._file.close()


class ParquetWriter(Writer):
    """One file with the pictures' bytes, in row groups so small that rows can be read in random order."""

    def __init__(self, target: Path, columns: tuple[str, ...]) -> None:
        super().__init__(target, columns)
        kinds = [(column, pa.binary() if column == IMAGE else pa.string()) for column in columns]
        self._schema = pa.schema(kinds)
        self._writer = pq.ParquetWriter(target, self._schema)
        self._rows: list[dict[str, str | bytes]] = []
        self._bytes = 0

    def write(self, record: Record) -> None:
        """See `Writer.write`."""
        image = {} if record.picture is None else {IMAGE: record.picture.content}
        self._rows.append({**self.cells(record), **image})
        self._bytes += 0 if record.picture is None else len(record.picture.content)
        if len(self._rows) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """See `Writer.close`."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._bytes = [], 0


class TsvWriter(Writer):
    """EasyNLP's TSV: no header, pictures in URL-safe base64; tabs and line breaks in texts become blanks."""

    def __init__(self, target: Path, columns: tuple[str, ...]) -> None:
        super().__init__(target, columns)
        self._file = target.open("w", encoding="utf-8", newline="\n")

    def write(self, record: Record) -> None:
        """See `Writer.write`."""
        cells = {column: self._on_one_line(cell) for column, cell in self.cells(record).items()}
        if record.picture is not None:
            encoded = base64.urlsafe_b64encode(record.picture.content).decode("ascii")
            # A tiny picture of a rare format could be taken for a path.
            cells[IMAGE] = encoded if is_encoded(encoded) else f"data:image/{record.picture.ending};base64,{encoded}"
        self._file.write("\t".join(cells[column] for column in self.columns) + "\n")

    def close(self) -> None:
        """See `Writer.close`."""
        self._file.close()

    def schema(self) -> str:
        """What `--input_schema` has to be."""
        return ",".join(f"{column.replace(',', '_').replace(':', '_')}:str:1" for column in self.columns)

    def _on_one_line(self, cell: str) -> str:
        if not any(mark in cell for mark in "\t\r\n"):
            return cell
        self.altered += 1
        return " ".join(cell.split())


class TarWriter(Writer):
    """Webdataset shards `00000.tar`, ... in a folder: `key.jpg`, `key.txt` and `key.json`, with numbers for keys."""

    def __init__(self, target: Path, columns: tuple[str, ...]) -> None:
        super().__init__(target, columns)
        self._shard = self._samples = self._bytes = self._count = 0
        self._tar = self._next_shard()

    def write(self, record: Record) -> None:
        """See `Writer.write`."""
        key = f"{self._count:09d}"
        self._count += 1
        if record.picture is not None:
            self._add(f"{key}.{record.picture.ending}", record.picture.content)
        if record.caption is not None:
            self._add(f"{key}.txt", record.caption.encode("utf-8"))
        self._add(f"{key}.json", json.dumps(self.cells(record), ensure_ascii=False).encode("utf-8"))
        self._samples += 1
        if self._samples >= SHARD_SAMPLES or self._bytes >= SHARD_BYTES:
            self._tar.close()
            self._tar = self._next_shard()

    def close(self) -> None:
        """See `Writer.close`."""
        self._tar.close()
        if not self._samples and self._shard > 1:
            (self.target / f"{self._shard - 1:05d}.tar").unlink()

    def _next_shard(self) -> tarfile.TarFile:
        self._samples = self._bytes = 0
        self._shard += 1
        return tarfile.open(self.target / f"{self._shard - 1:05d}.tar", "w", format=tarfile.USTAR_FORMAT)

    def _add(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))
        self._tar.members = []  # type: ignore[attr-defined] # tarfile keeps a record of every member it has written
        self._bytes += len(content)
