"""The graph in the formats of other programs; each is written a line at a time and appears whole or not at all."""

from __future__ import annotations

import difflib
from pathlib import Path

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.export.graphml import write_graphml
from easynlp_fashionklip.graph.export.neo4j import write_neo4j
from easynlp_fashionklip.graph.export.release import write_release
from easynlp_fashionklip.graph.export.skos import DEFAULT_BASE, write_skos
from easynlp_fashionklip.graph.prototype_pictures import PrototypePictures
from easynlp_fashionklip.graph.store import ConceptGraph

FORMATS = ("release", "graphml", "skos", "neo4j")


def check_format(name: str) -> None:
    """InputError, with the nearest name, unless `name` is one of `FORMATS`."""
    if name not in FORMATS:
        near = difflib.get_close_matches(name.lower(), FORMATS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"give one of {', '.join(FORMATS)}."
        raise InputError(f"--to={name} is no format of an export; {hint}")


def export_graph(
    graph: ConceptGraph,
    to: str,
    out: str | Path,
    *,
    base: str | None = None,
    pictures: PrototypePictures | None = None,
) -> None:
    """Write a graph in one of `FORMATS`: a file (`graphml`, `skos`) or a folder (`release`, `neo4j`).

    Args:
        to: the format.
        out: the file or folder.
        base: what the IRIs of `skos` begin with.
        pictures: for `release`, to write their pixels too.

    Raises:
        InputError: unknown format, an option that another format has, or `out` cannot be written or is taken.
    """
    check_format(to)
    if base is not None and to != "skos":
        raise InputError(f"--base={base} is for --to=skos; {to} has no IRIs, leave it out.")
    if pictures is not None and to != "release":
        raise InputError(f"--catalog and --image are for --to=release; {to} holds no pictures, leave them out.")
    if to == "release":
        write_release(graph, out, pictures)
    elif to == "graphml":
        write_graphml(graph, out)
    elif to == "skos":
        write_skos(graph, out, DEFAULT_BASE if base is None else base)
    else:
        write_neo4j(graph, out)


__all__ = ["DEFAULT_BASE", "FORMATS", "check_format", "export_graph"]
