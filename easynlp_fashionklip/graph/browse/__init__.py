"""The graph as one HTML page that needs nothing else: a tree to search and open, with the prototypes' pictures."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.browse.thumbnails import Thumbnails, by_rank, thumbnails
from easynlp_fashionklip.graph.export.output import new_file
from easynlp_fashionklip.graph.prototype_pictures import PrototypePictures
from easynlp_fashionklip.graph.store import ConceptGraph

logger = logging.getLogger(__name__)

MARK = "easynlp-fashionklip graph browse"
MAX_MEGABYTES = 20.0
PER_CONCEPT = 6
_SLOT = re.compile(r"\{\{(\w+)\}\}\n?")


def write_page(
    graph: ConceptGraph,
    out: str | Path,
    pictures: PrototypePictures | None = None,
    *,
    per_concept: int = PER_CONCEPT,
    max_megabytes: float = MAX_MEGABYTES,
) -> str:
    """Write the page.

    Args:
        graph: its primary parents make the tree; without prototypes the page has no pictures.
        out: an HTML file.
        pictures: where the prototypes' pictures are; None lists them by name.
        per_concept: prototypes shown of a concept, by rank.
        max_megabytes: most of embedded pictures in all; concepts get their first before any gets its second.

    Returns:
        What the page says about pictures that are missing; '' when there is nothing to say.

    Raises:
        InputError: a number is negative, or `out` cannot be written or holds something else.
    """
    if per_concept < 0 or not 0 <= max_megabytes < np.inf:
        raise InputError(f"--per_concept={per_concept} and --max_mb={max_megabytes} must be 0 or more.")
    shown = _shown(graph, per_concept)
    names = by_rank([[image_id for image_id, _ in own] for own in shown])
    found = Thumbnails() if pictures is None else thumbnails(names, pictures, int(max_megabytes * 1e6))
    remark = _remark(graph, names, found, pictures, max_megabytes)
    if remark:
        logger.info("%s", remark)
    parts = {"style": _asset("page.css"), "script": _asset("page.js"), "mark": MARK}
    with new_file(out, MARK) as file:
        for number, piece in enumerate(_SLOT.split(_asset("page.html"))):
            if number % 2 == 0 or piece in parts:
                file.write(parts[piece] if number % 2 else piece)
            else:
                file.writelines(_payload(graph, shown, names, found.encoded, remark))
    return remark


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _shown(graph: ConceptGraph, per_concept: int) -> list[list[tuple[str, int]]]:
    """(image id, similarity in thousandths) of each concept's first prototypes."""
    offsets, image_ids = graph.prototype_images()
    similarity = np.rint(graph.tables.prototypes.similarity * 1000).astype(int).tolist()
    return [
        [(image_ids[i], similarity[i]) for i in range(start, min(start + per_concept, stop))]
        for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]


def _remark(
    graph: ConceptGraph,
    names: list[str],
    found: Thumbnails,
    pictures: PrototypePictures | None,
    max_megabytes: float,
) -> str:
    if not len(graph.tables.prototypes.concept):
        return "The graph has no prototypes, so this page has no pictures."
    if not names:
        return ""
    if pictures is None:
        return "Pictures are listed by name; --catalog and --image of 'fashionklip graph browse' show them."
    if found.left_out:
        return (
            f"{len(found.encoded):,} of {len(names):,} pictures are shown: {found.left_out:,} did not fit into "
            f"{max_megabytes:g} MB; give a higher --max_mb, or a lower --per_concept."
        )
    if len(found.encoded) < len(names):
        return f"{len(names) - len(found.encoded):,} of {len(names):,} pictures are missing or cannot be read."
    return ""


def _payload(
    graph: ConceptGraph,
    shown: list[list[tuple[str, int]]],
    names: list[str],
    encoded: Mapping[str, str],
    remark: str,
) -> Iterator[str]:
    """One JSON object, a column or a picture at a time."""
    table = graph.tables.concepts
    heads = {head: number for number, head in enumerate(dict.fromkeys(table.heads))}
    number_of = {image_id: number for number, image_id in enumerate(names)}
    surfaces = {i: one for i, one in enumerate(table.surfaces) if one != table.phrases[i]}
    columns: dict[str, Any] = {
        "name": Path(graph.origin).name,
        "remark": remark,
        "phrases": table.phrases,
        "surfaces": surfaces,
        "heads": list(heads),
        "head": [heads[head] for head in table.heads],
        "frequency": graph.tables.frequency.tolist(),
        "parents": list(_parents(graph)),
        "prototypes": [[[number_of[image_id], value] for image_id, value in own] for own in shown],
        "imageIds": names,
    }
    yield "{"
    for name, values in columns.items():
        yield f"{json_in_html(name)}:{json_in_html(values)},\n"
    yield '"images":['
    yield from _separated(json_in_html(encoded.get(image_id, "")) for image_id in names)
    yield "]}\n"


def _parents(graph: ConceptGraph) -> Iterator[list[int]]:
    """Parents of each concept, the primary one first."""
    for concept_id in range(len(graph)):
        primary = graph.primary_parent(concept_id)
        yield sorted(graph.parents(concept_id), key=lambda parent: parent != primary)


def _separated(values: Iterable[str]) -> Iterator[str]:
    for number, value in enumerate(values):
        yield f",\n{value}" if number else value


def json_in_html(value: Any) -> str:
    """Compact JSON that can stand in a script element: no `<` that could end it or begin a comment in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


__all__ = ["MAX_MEGABYTES", "PER_CONCEPT", "json_in_html", "write_page"]
