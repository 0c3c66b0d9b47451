"""`fashionklip graph ...`: the commands of the concept graph."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give a parser the graph's commands."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build a graph from a catalogue")
    build.add_argument("--catalog", required=True, type=Path, help="CSV or TSV of products")
    build.add_argument("--text", required=True, help="column of the texts")
    build.add_argument("--image", required=True, help="column of the pictures")
    build.add_argument("--model", required=True, help="zoo name, checkpoint folder or hub name")
    build.add_argument("--out", required=True, type=Path, help="folder to write; must not hold anything else")
    build.add_argument("--input_schema", help="EasyNLP schema of a TSV, for example text:str:1,image:str:1")
    build.add_argument(
        "--set", dest="settings", default="", metavar="'KEY=VALUE ...'", help="any key of --user_defined_parameters"
    )
    build.set_defaults(action=_graph_build)
    stats = commands.add_parser("stats", help="counts, depths and commonest concepts")
    stats.add_argument("--graph", required=True, type=Path)
    stats.add_argument("--top", type=int, default=40, help="how many concepts to list")
    stats.set_defaults(action=_graph_stats)
    show = commands.add_parser("show", help="one concept: parents, children, frequency, prototypes")
    show.add_argument("phrase")
    show.add_argument("--graph", required=True, type=Path)
    show.set_defaults(action=_graph_show)


def _graph_build(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.app.graph import build_command

    build_command(
        arguments.catalog,
        arguments.text,
        arguments.image,
        arguments.model,
        arguments.out,
        settings=arguments.settings,
        input_schema=arguments.input_schema,
    )


def _graph_stats(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.graph.report import stats_text
    from easynlp_fashionklip.graph.store import ConceptGraph

    sys.stdout.write(stats_text(ConceptGraph.load(arguments.graph), arguments.top) + "\n")


def _graph_show(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.graph.report import concept_text
    from easynlp_fashionklip.graph.store import ConceptGraph

    sys.stdout.write(concept_text(ConceptGraph.load(arguments.graph), arguments.phrase) + "\n")
