"""`fashionklip graph stats | show | browse | export | import`: looking at a graph and carrying it elsewhere."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easynlp_fashionklip.errors import InputError

if TYPE_CHECKING:
    from easynlp_fashionklip.graph.prototype_pictures import PrototypePictures
    from easynlp_fashionklip.graph.store import ConceptGraph


def add_commands(commands: Any) -> None:
    """Add the commands to the subparsers of `fashionklip graph`."""
    stats = commands.add_parser("stats", help="counts, depths and commonest concepts")
    stats.add_argument("--graph", required=True, type=Path)
    stats.add_argument("--top", type=int, default=40, help="how many concepts to list")
    stats.set_defaults(action=_stats)
    show = commands.add_parser("show", help="one concept: path from the root, children, frequency, prototypes")
    show.add_argument("phrase")
    show.add_argument("--graph", required=True, type=Path)
    show.set_defaults(action=_show)
    _add_browse(commands)
    _add_export(commands)


def _add_browse(commands: Any) -> None:
    browse = commands.add_parser("browse", help="one HTML page to search and open the graph, with pictures")
    browse.add_argument("--graph", required=True, type=Path)
    browse.add_argument("--out", required=True, type=Path, help="HTML file to write")
    _add_catalogue(browse)
    browse.add_argument("--per_concept", type=int, default=6, help="prototypes shown of a concept (default 6)")
    browse.add_argument("--max_mb", type=float, default=20.0, help="most megabytes of embedded pictures (default 20)")
    browse.set_defaults(action=_browse)


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="write the graph for other programs")
    export.add_argument("--graph", required=True, type=Path)
    export.add_argument("--to", required=True, metavar="FORMAT", help="release, graphml, skos or neo4j")
    export.add_argument("--out", required=True, type=Path, help="file (graphml, skos) or folder (release, neo4j)")
    export.add_argument("--base", help="what the IRIs of skos begin with")
    _add_catalogue(export)
    export.set_defaults(action=_export)
    restore = commands.add_parser("import", help="make a graph from the files of FashionKLIP's own release")
    restore.add_argument("--release", required=True, type=Path, help="folder with concepts_queries.jsonl")
    restore.add_argument("--out", required=True, type=Path, help="folder to write; must not hold anything else")
    restore.add_argument("--min_frequency", type=int, default=2, help="for concepts that the graph grows by later")
    restore.set_defaults(action=_import)


def _add_catalogue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--catalog", type=Path, help="table that the graph was built from, for pictures")
    parser.add_argument("--image", help="its column of the pictures")
    parser.add_argument("--product_id", help="its column of the product ids; found if it is product_id or id")
    parser.add_argument("--input_schema", help="EasyNLP schema of a TSV, for example text:str:1,image:str:1")
    parser.add_argument(
        "--image_root", default="", help="folder or .npz of its pictures; that of the table if left out"
    )


def _pictures(arguments: argparse.Namespace, graph: ConceptGraph) -> PrototypePictures | None:
    from easynlp_fashionklip.graph.prototype_pictures import open_pictures

    return open_pictures(
        graph,
        arguments.catalog,
        arguments.image,
        arguments.product_id,
        arguments.input_schema,
        arguments.image_root,
    )


def _stats(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.graph.report import stats_text
    from easynlp_fashionklip.graph.store import ConceptGraph

    sys.stdout.write(stats_text(ConceptGraph.load(arguments.graph), arguments.top) + "\n")


def _show(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.graph.report import concept_text, find_concept
    from easynlp_fashionklip.graph.store import ConceptGraph

    graph = ConceptGraph.load(arguments.graph)
    concept = find_concept(graph, arguments.phrase)
    if not sys.stdout.isatty():
        sys.stdout.write(concept_text(graph, concept) + "\n")
        return
    from rich.console import Console

    from easynlp_fashionklip.cli.concept_tree import concept_tree

    Console().print(concept_tree(graph, concept))


def _browse(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.graph.browse import write_page
    from easynlp_fashionklip.graph.store import ConceptGraph

    graph = ConceptGraph.load(arguments.graph)
    pictures = _pictures(arguments, graph)
    write_page(graph, arguments.out, pictures, per_concept=arguments.per_concept, max_megabytes=arguments.max_mb)
    size = arguments.out.stat().st_size / 1e6
    sys.stdout.write(f"{len(graph):,} concepts, {size:.1f} MB: {arguments.out}\n")


def _export(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.graph.export import check_format, export_graph
    from easynlp_fashionklip.graph.store import ConceptGraph

    check_format(arguments.to)
    graph = ConceptGraph.load(arguments.graph)
    pictures = _pictures(arguments, graph)
    export_graph(graph, arguments.to, arguments.out, base=arguments.base, pictures=pictures)
    sys.stdout.write(f"{len(graph):,} concepts as {arguments.to}: {arguments.out}\n")


def _import(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.graph.import_release import import_release

    out: Path = arguments.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out={out} exists; remove it or give an empty or new folder.")
    graph = import_release(arguments.release, arguments.min_frequency)
    graph.save(out)
    sys.stdout.write(f"{len(graph):,} concepts: {out}\n")
