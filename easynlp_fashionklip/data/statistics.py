"""What is in a catalogue: lengths of texts, sizes of pictures, what repeats, and columns of labels."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from easynlp_fashionklip.data.images import describe_image, read_bytes
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.records import ImageReference

MOST_LABELS = 1000
LISTED_LABELS = 8
_SHOWN_LABEL = 30


@dataclass
class TableStatistics:
    """Counts of one table. Arrays have a value for each pair that could be read; memory is 40 bytes a pair."""

    name: str
    rows: int
    pairs: int
    text_column: str | None
    image_column: str | None
    unreadable: int = 0
    characters: array[int] = field(default_factory=lambda: array("q"))
    words: array[int] = field(default_factory=lambda: array("q"))
    product_keys: array[int] = field(default_factory=lambda: array("q"))
    text_keys: array[int] = field(default_factory=lambda: array("q"))
    picture_keys: array[int] = field(default_factory=lambda: array("q"))
    widths: array[int] = field(default_factory=lambda: array("q"))
    heights: array[int] = field(default_factory=lambda: array("q"))
    picture_formats: Counter[str] = field(default_factory=Counter)
    unusable_pictures: int = 0
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    """Values of the columns that have no more than 1,000 distinct ones."""


def table_statistics(table: PairTable, *, progress: bool | None = None) -> TableStatistics:
    """Read every pair and its picture once; nothing is decoded.

    Args:
        table: the pairs.
        progress: show a bar on stderr; None does when stderr is a terminal.
    """
    catalogue = table.catalogue
    found = TableStatistics(catalogue.path.name, len(catalogue), len(table), table.text_column, table.image_column)
    special = {table.text_column, table.image_column, table.product_id_column} | catalogue.bytes_columns
    found.labels = {column: Counter() for column in catalogue.columns if column not in special}
    disable = None if progress is None else not progress
    for position in tqdm(range(len(table)), desc=f"reading {found.name}", unit=" rows", disable=disable):
        try:
            cells = table.cells(position)
            product_key, text_key = table.keys_of(position, cells)
            text = table.text_of(cells)
            labels = {column: cells[column] for column in found.labels}
        except InputError:
            found.unreadable += 1
            continue
        found.product_keys.append(product_key)
        if table.text_column is not None:
            found.text_keys.append(text_key)
            found.characters.append(len(text.strip()))
            found.words.append(len(text.split()))
        _count_labels(found, labels)
        _count_picture(found, table, position, cells)
    return found


def _count_labels(found: TableStatistics, labels: Mapping[str, str]) -> None:
    for column, value in labels.items():
        found.labels[column][value.strip()] += 1
        if len(found.labels[column]) > MOST_LABELS:
            del found.labels[column]


def _count_picture(found: TableStatistics, table: PairTable, position: int, cells: Mapping[str, str]) -> None:
    try:
        picture = table.image_of(position, cells)
        if picture is None:
            return
        content = read_bytes(picture)
        kind, (width, height) = describe_image(ImageReference(picture.origin, encoded=content))
    except InputError:
        found.unusable_pictures += 1
        return
    found.picture_formats[kind] += 1
    found.widths.append(width)
    found.heights.append(height)
    key = hashlib.blake2b(content, digest_size=8).digest()
    found.picture_keys.append(int.from_bytes(key, "little", signed=True))


def statistics_text(found: TableStatistics) -> str:
    """A page for people."""
    return "\n".join([*_rows_text(found), *_texts_text(found), *_pictures_text(found), *_labels_text(found)])


def _rows_text(found: TableStatistics) -> list[str]:
    _, counts = np.unique(np.array(found.product_keys), return_counts=True)
    products = f"{len(counts):,} products, {int((counts > 1).sum()):,} of them with several pairs"
    lines = [f"{found.name}: {found.rows:,} rows, {found.pairs:,} pairs, {products}"]
    if found.unreadable:
        lines.append(f"  unreadable   {found.unreadable:,} ('fashionklip data check' names them)")
    return lines


def _texts_text(found: TableStatistics) -> list[str]:
    if found.text_column is None or not len(found.characters):
        return []
    empty = sum(1 for length in found.characters if not length)
    return [
        f"texts, column {found.text_column!r}",
        f"  characters   {_spread(found.characters)}",
        f"  words        {_spread(found.words)}",
        f"  empty        {empty:,}",
        f"  repeated     {_repeats(found.text_keys):,} have the text of an earlier pair",
    ]


def _pictures_text(found: TableStatistics) -> list[str]:
    if found.image_column is None:
        return []
    lines = [f"pictures, column {found.image_column!r}"]
    if len(found.widths):
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in found.picture_formats.most_common())
        lines += [
            f"  width        {_spread(found.widths)} pixels",
            f"  height       {_spread(found.heights)} pixels",
            f"  format       {kinds}",
            f"  repeated     {_repeats(found.picture_keys):,} have the bytes of an earlier picture",
        ]
    if found.unusable_pictures:
        lines.append(f"  unusable     {found.unusable_pictures:,} ('fashionklip data check' names them)")
    return lines


def _labels_text(found: TableStatistics) -> list[str]:
    lines = []
    for column, counts in found.labels.items():
        if not len(counts) or len(counts) > max(1, found.pairs // 2):
            continue  # as many values as rows: a description or an id
        common = ", ".join(f"{_shown(value)} {count:,}" for value, count in counts.most_common(LISTED_LABELS))
        more = f", and {len(counts) - LISTED_LABELS:,} more" if len(counts) > LISTED_LABELS else ""
        lines.append(f"  {_shown(column):12} {common}{more}")
    return ["labels", *lines] if lines else []


def _spread(values: array[int]) -> str:
    least, median, most_of, most = np.percentile(np.array(values), [0, 50, 95, 100], method="lower").tolist()
    return f"{least:,} to {most:,}, median {median:,}, 95 % up to {most_of:,}"


def _repeats(keys: array[int]) -> int:
    return len(keys) - len(np.unique(np.array(keys)))


def _shown(value: str) -> str:
    """On one line, without what a terminal would obey."""
    plain = "".join(one if one.isprintable() else " " for one in value).strip() or "(empty)"
    return plain if len(plain) <= _SHOWN_LABEL else plain[: _SHOWN_LABEL - 3] + "..."
