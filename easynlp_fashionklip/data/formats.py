"""Which format a catalogue has, by its name and place, and the files it is made of. Opens none of them."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Literal

from easynlp_fashionklip.errors import InputError

Format = Literal["csv", "tsv", "jsonl", "parquet", "arrow", "tar", "hdf5"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".tar": "tar",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
}
NAMES = "CSV, TSV, JSONL, Parquet, .arrow, .tar or HDF5 file, or a folder of .parquet or .tar files or by save_to_disk"
MOST_FILES = 100_000
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_SAVED = ("state.json", "dataset_dict.json")


def format_of(path: Path) -> Format:
    """The format by the ending; a folder's by what is in it. Other endings are read as CSV.

    Raises:
        InputError: it is a folder of nothing known.
    """
    if not path.is_dir():
        return SUFFIXES.get(path.suffix.lower(), "csv")
    if any((path / name).is_file() for name in _SAVED):
        return "arrow"
    for suffix in (".tar", ".parquet"):
        if next(path.glob(f"*{suffix}"), None) is not None:
            return SUFFIXES[suffix]
    raise InputError(f"{path} cannot be read: it is a folder without a catalogue; give a {NAMES}.")


def find_files(path: Path) -> tuple[Path, ...]:
    """The files that a path stands for, by name: itself, a folder's, `shard-{000..031}.tar`'s, or a pattern's.

    Raises:
        InputError: there is none.
    """
    if path.is_dir():
        kind = format_of(path)
        found = sorted(file for file in path.iterdir() if SUFFIXES.get(file.suffix.lower()) == kind)
    elif path.exists():
        found = [path]
    elif _RANGE.search(str(path)):
        found = [file for name in _ranged(str(path)) for file in _matched(name) or [Path(name)]]
    else:
        found = _matched(str(path))
    if not found:
        raise InputError(f"{path} does not exist; check the path of the table.")
    return tuple(found)


def there_is(path: Path) -> bool:
    """Whether a path, or a pattern, stands for anything."""
    try:
        return path.exists() or bool(find_files(path))
    except InputError:
        return False


def _ranged(name: str) -> list[str]:
    """`a-{08..11}` as `a-08`, `a-09`, `a-10`, `a-11`."""
    ranges = _RANGE.findall(name)
    first, last = map(int, ranges[0])
    if len(ranges) > 1 or not 0 <= last - first < MOST_FILES:
        raise InputError(f"{name}: give one range of up to {MOST_FILES:,} numbers, such as {{000..031}}.")
    return [_RANGE.sub(f"{number:0{len(ranges[0][0])}d}", name) for number in range(first, last + 1)]


def _matched(name: str) -> list[Path]:
    return [Path(found) for found in sorted(glob.glob(name))]
