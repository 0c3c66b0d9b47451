"""The graph as CSV files for `neo4j-admin database import full`."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from easynlp_fashionklip.graph.export.output import new_folder
from easynlp_fashionklip.graph.store import ConceptGraph

CONCEPTS, IMAGES, IS_A, PROTOTYPE_OF = "concepts.csv", "images.csv", "is_a.csv", "prototype_of.csv"
HEADERS = {
    CONCEPTS: "conceptId:ID(Concept),phrase,surface,head,depth:long,frequency:long,:LABEL",
    IMAGES: "imageId:ID(Image),:LABEL",
    IS_A: ":START_ID(Concept),:END_ID(Concept),primary:boolean,:TYPE",
    PROTOTYPE_OF: ":START_ID(Image),:END_ID(Concept),rank:long,similarity:double,:TYPE",
}


def write_neo4j(graph: ConceptGraph, out: str | Path) -> None:
    """Write four files with neo4j-admin's headers: nodes Concept and Image, relations IS_A and PROTOTYPE_OF.

    Texts are quoted, quotes in them doubled. A phrase with a newline needs `--multiline-fields=true` when imported.

    Raises:
        InputError: `out` exists and is no empty folder, or cannot be written.
    """
    is_a, prototypes = graph.tables.hierarchy, graph.tables.prototypes
    edges = zip(is_a.child.tolist(), is_a.parent.tolist(), is_a.primary.tolist(), strict=True)
    concept, rank = prototypes.concept.tolist(), prototypes.rank.tolist()
    # str() of a float32 is its shortest decimal that reads back as the same float32.
    similarity = (float(str(one)) for one in prototypes.similarity)
    depictions = zip(prototypes.image_ids, concept, rank, similarity, strict=True)
    with new_folder(out) as folder:
        _write(
            folder / CONCEPTS,
            ((c.concept_id, c.phrase, c.surface, c.head, c.depth, c.frequency, "Concept") for c in graph.concepts),
        )
        _write(folder / IMAGES, ((image_id, "Image") for image_id in dict.fromkeys(prototypes.image_ids)))
        _write(folder / IS_A, ((child, parent, str(primary).lower(), "IS_A") for child, parent, primary in edges))
        _write(folder / PROTOTYPE_OF, ((*depiction, "PROTOTYPE_OF") for depiction in depictions))


def _write(path: Path, rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADERS[path.name] + "\n")
        csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows(rows)
