"""`fashionklip graph ...`: the commands of the concept graph."""

from __future__ import annotations

import argparse
from pathlib import Path

from easynlp_fashionklip.cli import graph_views
from easynlp_fashionklip.cli.graph_engine import (
    add_engine_flags,
    build_from_texts,
    check_build_flags,
    expand_by_texts,
)


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give a parser the graph's commands."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build a graph from a catalogue")
    _add_source(build)
    build.add_argument("--model", help="zoo name, checkpoint folder or hub name")
    build.add_argument("--out", required=True, type=Path, help="folder to write; must not hold anything else")
    build.set_defaults(action=_graph_build)
    expand = commands.add_parser("expand", help="add a catalogue's new products to a graph")
    _add_source(expand)
    expand.add_argument("--graph", required=True, type=Path, help="folder of the graph; every concept keeps its id")
    expand.add_argument("--model", default="", help="where the graph's encoder is, if not where it was")
    expand.set_defaults(action=_graph_expand)
    graph_views.add_commands(commands)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--catalog", type=Path, help="catalogue of products with pictures: CSV, TSV, JSONL, Parquet, tar shards, ..."
    )
    parser.add_argument(
        "--text", required=True, help="column of the texts; with --texts also several: title,description"
    )
    parser.add_argument("--image", help="column of the pictures")
    parser.add_argument("--input_schema", help="EasyNLP schema of a TSV, for example text:str:1,image:str:1")
    parser.add_argument(
        "--set", dest="settings", default="", metavar="'KEY=VALUE ...'", help="any key of --user_defined_parameters"
    )
    add_engine_flags(parser)


def _graph_build(arguments: argparse.Namespace) -> None:
    check_build_flags(arguments)
    if arguments.texts is not None:
        build_from_texts(arguments)
        return
    from easynlp_fashionklip.app.graph_build import Source, Where, build_command

    source = Source(arguments.catalog, arguments.text, arguments.image, arguments.input_schema)
    where = Where(arguments.engine, arguments.ray_address)
    build_command(source, arguments.model, arguments.out, settings=arguments.settings, where=where)


def _graph_expand(arguments: argparse.Namespace) -> None:
    check_build_flags(arguments, needed=("catalog", "image"))
    if arguments.texts is not None:
        expand_by_texts(arguments)
        return
    from easynlp_fashionklip.app.graph_build import Source, Where, expand_command

    source = Source(arguments.catalog, arguments.text, arguments.image, arguments.input_schema)
    where = Where(arguments.engine, arguments.ray_address)
    expand_command(source, arguments.graph, model=arguments.model, settings=arguments.settings, where=where)
