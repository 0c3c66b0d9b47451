"""The graph in the files of FashionKLIP's own release.

Source: `examples/fashionklip` of github.com/alibaba/EasyNLP. Its README names the two JSONL files and the npz;
`training/data.py` reads `phrase`, `query_id` and `query_text` of concepts_queries.jsonl, and `phrase` and
`phrase_father` of concepts_fathers.jsonl ('' for a root; of several lines with one phrase the last counts), and takes
pictures from the npz by `str(id)` as float arrays "after transformation"; `training/train_all_concept.py` needs whole
numbers for these ids. Prototypes go where its `--txt-img-prediction` has them: `query_id` and `item_ids` in a line.

Readers take fields by name, so lines carry a few more, from which `import_release` restores what the schema has no
field for: `head`, `modifiers`, `frequency` of a concept, `similarities` of its prototypes.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from easynlp_fashionklip.graph.export.output import new_folder
from easynlp_fashionklip.graph.prototype_pictures import PrototypePictures
from easynlp_fashionklip.graph.store import ConceptGraph

logger = logging.getLogger(__name__)

QUERIES, FATHERS = "concepts_queries.jsonl", "concepts_fathers.jsonl"
PREDICTIONS, IMAGES = "concepts_predictions.jsonl", "concepts_images.jsonl"
PIXELS = "concepts_images.224.npz"
# The release's pictures: those of CLIP (`clip.py` there, from github.com/openai/CLIP).
SIDE = 224
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)


def write_release(graph: ConceptGraph, out: str | Path, pictures: PrototypePictures | None = None) -> None:
    """Write a folder with the release's files.

    - `concepts_queries.jsonl`: `query_id` (the concept id), `query_text` (the prompt), `phrase`.
    - `concepts_fathers.jsonl`: a line for each parent, the primary one last, so that the release takes that one.
    - `concepts_predictions.jsonl`: `item_ids`, the prototypes by rank, of each concept that has any.
    - `concepts_images.jsonl`: `image_id` (the number used as item id) and `name` (the graph's image id).
    - `concepts_images.224.npz`, with `pictures`: number to float32 3 x 224 x 224, 600 KB a picture.

    Raises:
        InputError: `out` exists and is no empty folder, or cannot be written.
    """
    numbers = image_numbers(graph.tables.prototypes.image_ids)
    with new_folder(out) as folder:
        _write_lines(folder / QUERIES, _queries(graph))
        _write_lines(folder / FATHERS, _fathers(graph))
        _write_lines(folder / PREDICTIONS, _predictions(graph, numbers))
        _write_lines(folder / IMAGES, ({"image_id": number, "name": name} for name, number in numbers.items()))
        if pictures is not None:
            _write_pixels(folder / PIXELS, numbers, pictures)


def image_numbers(image_ids: Iterable[str]) -> dict[str, int]:
    """A whole number for each distinct image id: the id itself if all are such numbers, else 0, 1, 2, ..."""
    distinct = list(dict.fromkeys(image_ids))
    if all(one.isdecimal() and len(one) < 19 and str(int(one)) == one for one in distinct):
        return {one: int(one) for one in distinct}
    return {one: number for number, one in enumerate(distinct)}


def _queries(graph: ConceptGraph) -> Iterable[dict[str, Any]]:
    rows = zip(graph.concepts, graph.prompts(), graph.tables.concepts.modifiers, strict=True)
    for concept, prompt, modifiers in rows:
        yield {
            "query_id": concept.concept_id,
            "query_text": prompt,
            "phrase": concept.phrase,
            "head": concept.head,
            "modifiers": modifiers,
            "frequency": concept.frequency,
        }


def _fathers(graph: ConceptGraph) -> Iterable[dict[str, Any]]:
    phrases = graph.tables.concepts.phrases
    for concept_id, phrase in enumerate(phrases):
        primary = graph.primary_parent(concept_id)
        parents = sorted(graph.parents(concept_id), key=lambda parent: parent == primary)
        for father in [phrases[parent] for parent in parents] or [""]:
            yield {"query_id": concept_id, "phrase": phrase, "phrase_father": father}


def _predictions(graph: ConceptGraph, numbers: Mapping[str, int]) -> Iterable[dict[str, Any]]:
    similarity = graph.tables.prototypes.similarity
    offsets, image_ids = graph.prototype_images()
    for concept_id in range(len(graph)):
        own = range(offsets[concept_id], offsets[concept_id + 1])
        if own:
            yield {
                "query_id": concept_id,
                "item_ids": [numbers[image_ids[i]] for i in own],
                "similarities": [float(str(similarity[i])) for i in own],
            }


def _write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    # ASCII: the release opens files with the locale's encoding.
    with path.open("w", encoding="ascii", newline="") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def _write_pixels(path: Path, numbers: Mapping[str, int], pictures: PrototypePictures) -> None:
    """An npz written a picture at a time; pictures that the catalogue lacks or that cannot be read are left out."""
    written = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, number in numbers.items():
            image = pictures.open(name, near=SIDE) if name in pictures else None
            if image is not None:
                with archive.open(f"{number}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, clip_pixels(image), allow_pickle=False)
                written += 1
    logger.info("%d of %d prototype pictures in %s", written, len(numbers), path.name)


def clip_pixels(image: Image.Image) -> np.ndarray:
    """float32 3 x 224 x 224: shorter side scaled to 224 (bicubic), centre cut out, CLIP's mean and deviation."""
    scale = SIDE / min(image.size)
    width, height = (max(SIDE, round(side * scale)) for side in image.size)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    resized = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + SIDE, top + SIDE))
    values = (np.asarray(resized, dtype=np.float32) / 255 - _MEAN) / _STD
    return np.ascontiguousarray(values.transpose(2, 0, 1))
