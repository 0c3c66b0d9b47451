"""`fashionklip graph ...`: the commands of the concept graph."""

from __future__ import annotations

import argparse
from pathlib import Path

from easynlp_fashionklip.cli import graph_views
from easynlp_fashionklip.cli.graph_engine import add_engine_flags, build_from_texts, check_build_flags


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give a parser the graph's commands."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build a graph from a catalogue")
    build.add_argument("--catalog", type=Path, help="CSV or TSV of products with pictures")
    build.add_argument(
        "--text", required=True, help="column of the texts; with --texts also several: title,description"
    )
    build.add_argument("--image", help="column of the pictures")
    build.add_argument("--model", help="zoo name, checkpoint folder or hub name")
    build.add_argument("--out", required=True, type=Path, help="folder to write; must not hold anything else")
    build.add_argument("--input_schema", help="EasyNLP schema of a TSV, for example text:str:1,image:str:1")
    build.add_argument(
        "--set", dest="settings", default="", metavar="'KEY=VALUE ...'", help="any key of --user_defined_parameters"
    )
    add_engine_flags(build)
    build.set_defaults(action=_graph_build)
    graph_views.add_commands(commands)


def _graph_build(arguments: argparse.Namespace) -> None:
    check_build_flags(arguments)
    if arguments.texts is not None:
        build_from_texts(arguments)
        return
    from easynlp_fashionklip.app.graph import build_command

    build_command(
        arguments.catalog,
        arguments.text,
        arguments.image,
        arguments.model,
        arguments.out,
        settings=arguments.settings,
        input_schema=arguments.input_schema,
        engine=arguments.engine,
        ray_address=arguments.ray_address,
    )
