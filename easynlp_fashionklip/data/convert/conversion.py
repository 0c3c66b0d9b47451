"""From a table of pairs to a file or folder of another format."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from easynlp_fashionklip.config import OnBadRow
from easynlp_fashionklip.data.convert.record import RecordReader
from easynlp_fashionklip.data.convert.writers import (
    CsvWriter,
    JsonlWriter,
    ParquetWriter,
    TarWriter,
    TsvWriter,
    Writer,
)
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError

FORMATS = ("csv", "jsonl", "parquet", "tsv", "webdataset")
_WRITERS: dict[str, type[Writer]] = {
    "csv": CsvWriter,
    "jsonl": JsonlWriter,
    "parquet": ParquetWriter,
    "tsv": TsvWriter,
    "webdataset": TarWriter,
}
_FILES = {"parquet": ".parquet", "tsv": ".tsv"}
_NAMED_BAD_ROWS = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Conversion:
    """What was written: pairs, those left out, texts altered; for a TSV its `--input_schema`."""

    pairs: int
    skipped: int
    altered: int
    input_schema: str = ""


def target_format(target: Path, asked: str | None) -> str:
    """The format to write: the one asked for, or the one that a file's ending means.

    Raises:
        InputError: neither says, or they contradict each other.
    """
    by_ending = {ending: name for name, ending in _FILES.items()}
    name = asked or by_ending.get(target.suffix.lower())
    if name not in FORMATS:
        raise InputError(f"{target} does not say which format to write; add --to with one of {', '.join(FORMATS)}.")
    if name in _FILES and target.suffix.lower() != _FILES[name]:
        raise InputError(f"{target} is to be a {name} file; let its name end in {_FILES[name]}.")
    if name not in _FILES and target.suffix.lower() in (".csv", ".jsonl", ".tar", *by_ending):
        raise InputError(f"{target}: {name} is written as a folder with the pictures in it; give the name of a folder.")
    return name


def convert(
    table: PairTable, target: Path, kind: str, *, on_bad_row: OnBadRow = "fatal", progress: bool | None = None
) -> Conversion:
    """Write the pairs of a table, in order, with one of them in memory at a time.

    Columns are `product_id`, `caption`, `image` and the source's others. A product keeps its id (a row without one its
    number), a text its characters, a picture its bytes. The target appears when it is complete.

    Args:
        table: the pairs.
        target: file (parquet, tsv) or folder (csv, jsonl, webdataset) that does not exist yet.
        kind: one of `FORMATS`.
        on_bad_row: "skip" leaves out rows that cannot be read, names the first 20 and counts them.
        progress: show a bar on stderr; None does when stderr is a terminal.

    Raises:
        InputError: a row cannot be read, no row is left, or the target exists or cannot be written.
    """
    reader = RecordReader(table)
    skipped = 0
    disable = None if progress is None else not progress
    with _new_target(target, folder=kind not in _FILES) as temporary:
        writer = _WRITERS[kind](temporary, reader.columns)
        for position in tqdm(range(len(table)), desc=f"writing {target.name}", unit=" rows", disable=disable):
            try:
                record = reader.read(position)
            except InputError as error:
                if on_bad_row == "fatal":
                    raise
                skipped += 1
                if skipped <= _NAMED_BAD_ROWS:
                    logger.warning("skipped: %s", error)
                continue
            writer.write(record)
        if skipped == len(table):
            raise InputError(f"{table.catalogue.path} has no row that can be read; mend the rows named above.")
        writer.close()
    schema = writer.schema() if isinstance(writer, TsvWriter) else ""
    return Conversion(len(table) - skipped, skipped, writer.altered, schema)


@contextmanager
def _new_target(target: Path, folder: bool) -> Iterator[Path]:
    """A file or folder to fill beside the target; it takes the target's name when the block ends well."""
    target = target.absolute()
    if target.exists() and not (folder and target.is_dir() and not any(target.iterdir())):
        raise InputError(f"{target} exists; remove it or give another name.")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if folder:
            temporary.mkdir()
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror or error}); give another place.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            temporary.unlink()
