"""`fashionklip data check | stats | convert`: looking at catalogues, and writing them in other formats."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from easynlp_fashionklip.errors import EXIT_BAD_INPUT, InputError

if TYPE_CHECKING:
    from easynlp_fashionklip.config import AppConfig
    from easynlp_fashionklip.data.pairs import PairTable


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give a parser the catalogue's commands."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="name every row that cannot be used, and count them by cause")
    _add_source(check)
    check.set_defaults(action=_check)
    stats = commands.add_parser("stats", help="lengths of texts, sizes of pictures, what repeats, labels")
    _add_source(stats)
    stats.set_defaults(action=_stats)
    convert = commands.add_parser("convert", help="write a catalogue in another format")
    _add_source(convert)
    convert.add_argument("target", type=Path, help="file (parquet, tsv) or folder (csv, jsonl, webdataset) to write")
    convert.add_argument(
        "--to", choices=("csv", "jsonl", "parquet", "tsv", "webdataset"), help="by default the ending's"
    )
    convert.set_defaults(action=_convert)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="CSV, TSV, JSONL, Parquet, tar shards, saved data set or HDF5")
    parser.add_argument("--text", help="column of the texts; found if it has a usual name")
    parser.add_argument("--image", help="column of the pictures, or a path with columns in braces: images/{id}.jpg")
    parser.add_argument("--input_schema", help="EasyNLP schema of a TSV, for example text:str:1,image:str:1")
    parser.add_argument(
        "--skip_first_line", action="store_true", help="with --input_schema: the first line is a header"
    )
    parser.add_argument(
        "--set", dest="settings", default="", metavar="'KEY=VALUE ...'", help="any key of --user_defined_parameters"
    )


def _open(arguments: argparse.Namespace) -> tuple[PairTable, AppConfig]:
    from easynlp_fashionklip.config import parse_user_defined_parameters
    from easynlp_fashionklip.data.catalogue import open_catalogue
    from easynlp_fashionklip.data.columns import choose_columns
    from easynlp_fashionklip.data.pairs import PairTable

    config = parse_user_defined_parameters(arguments.settings)
    catalogue = open_catalogue(
        arguments.source, input_schema=arguments.input_schema, skip_first_line=arguments.skip_first_line
    )
    text, image = choose_columns(catalogue, arguments.text, arguments.image)
    return PairTable(catalogue, text, image, config.product_id, config.image_root), config


def _check(arguments: argparse.Namespace) -> int:
    """Exit code 2 when training on the table with these settings would stop, else 0."""
    from easynlp_fashionklip.data.check import find_bad_rows

    table, config = _open(arguments)
    causes: Counter[str] = Counter()
    for bad in find_bad_rows(table, duplicate_ids=config.duplicate_ids):
        causes[bad.reason] += 1
        _tell(bad.message)
    columns = f"text {table.text_column!r}, picture {table.image_column!r}, product {table.product_id_column!r}"
    _tell(f"{table.catalogue.path}: {causes.total():,} of {len(table):,} pairs cannot be used ({columns})")
    for cause, count in causes.most_common():
        _tell(f"{count:10,}  {cause}")
    if config.on_bad_row == "skip" and causes.total() < len(table):
        return 0
    return EXIT_BAD_INPUT if causes else 0


def _stats(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.data.statistics import statistics_text, table_statistics

    table, _ = _open(arguments)
    _tell(statistics_text(table_statistics(table)))


def _convert(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.data.convert import convert, target_format

    kind = target_format(arguments.target, arguments.to)
    if arguments.target.absolute() == arguments.source.absolute():
        raise InputError(f"{arguments.target} is the catalogue itself; give another name to write.")
    table, config = _open(arguments)
    done = convert(table, arguments.target, kind, on_bad_row=config.on_bad_row)
    _tell(f"{done.pairs:,} pairs as {kind}: {arguments.target}")
    if done.skipped:
        _tell(f"{done.skipped:,} that could not be read were left out")
    if done.altered:
        _tell(f"{done.altered:,} cells had tabs or line breaks, which TSV cannot hold; they are blanks now")
    if done.input_schema:
        _tell(f"read it with --input_schema={done.input_schema}")


def _tell(text: str) -> None:
    """To stdout in its own encoding, whatever characters a catalogue has."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
