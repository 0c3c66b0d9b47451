"""A graph from the files of FashionKLIP's own release; `graph.export.release` names their source and writes them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.export.release import FATHERS, IMAGES, PREDICTIONS, QUERIES
from easynlp_fashionklip.graph.hierarchy import Hierarchy, closure_csr
from easynlp_fashionklip.graph.mining import phrases_of_title
from easynlp_fashionklip.graph.normalise import tokenise, unify_spelling
from easynlp_fashionklip.graph.prototypes import PROMPT
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.graph.tables import GraphInfo, GraphTables, Mentions, PhraseTable, PrototypeColumns

logger = logging.getLogger(__name__)

_REQUIRED = "is missing or of the wrong type"


def import_release(folder: str | Path, min_frequency: int = 2) -> ConceptGraph:
    """Read `concepts_queries.jsonl` and `concepts_fathers.jsonl`, and `concepts_predictions.jsonl` if it is there.

    The names may have a prefix, as in the release's `icbu_concepts_queries.jsonl`. Concepts keep the order of the
    file; a father that it does not list is added. Head and modifiers, where lines do not carry them, are read from
    the phrase. Products and mentions are not part of the schema: training counts them when it first meets a catalogue.

    Args:
        folder: with the files.
        min_frequency: kept with the graph, for concepts that it grows by later.

    Raises:
        InputError: naming file and line, if a file is missing, a line is no JSON object or lacks a field, ids or
            fathers contradict each other, or is-a has a cycle.
    """
    folder = Path(folder)
    concepts = _Concepts(_file(folder, QUERIES))
    edges = _edges(_file(folder, FATHERS), concepts)
    predictions, images = _file(folder, PREDICTIONS, optional=True), _file(folder, IMAGES, optional=True)
    prototypes = PrototypeColumns.empty()
    if predictions is not None:
        prototypes = _prototypes(predictions, concepts, _image_names(images))
    none = np.zeros(0, dtype=np.int64)
    table = concepts.table()
    tables = GraphTables(
        info=GraphInfo(min_frequency=min_frequency, prompt=PROMPT, encoder="imported" if prototypes.image_ids else ""),
        concepts=table,
        frequency=np.array(concepts.frequency, dtype=np.int64),
        hierarchy=_hierarchy(folder, edges, len(table)),
        product_ids=[],
        mention_offsets=np.zeros(1, dtype=np.int64),
        mention_concepts=none,
        rare=Mentions(PhraseTable(), [], none, none),
        prototypes=prototypes,
    )
    return ConceptGraph(tables, origin=str(folder))


# --------------------------------------------------------------------------------------------------------------- files


def _file(folder: Path, name: str, optional: bool = False) -> Path | None:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the one that holds {QUERIES} and {FATHERS}.")
    found = sorted(folder.glob(f"*{name}"))
    if len(found) > 1:
        names = " and ".join(path.name for path in found[:2])
        raise InputError(f"{folder} holds {names}; leave one *{name} there.")
    if not found and not optional:
        raise InputError(f"{folder} has no {name}; give a folder with the release's concept files.")
    return found[0] if found else None


def _records(path: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """(how messages name the line, its object) of each line that is not blank."""
    if path is None:
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise InputError(f"{where} is not JSON ({error}); correct or remove it.") from error
            if not isinstance(record, dict):
                raise InputError(f"{where} is not a JSON object; correct or remove it.")
            yield where, record


def _field(where: str, record: Mapping[str, Any], name: str, *kinds: type) -> Any:
    value = record.get(name)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise InputError(f"{where}: field {name!r} {_REQUIRED}; it is {value!r}, correct the line.")
    return value


def _phrase(where: str, record: Mapping[str, Any], name: str) -> str:
    phrase: str = _field(where, record, name, str)
    try:
        phrase.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: field {name!r} is not valid Unicode ({phrase!a}); correct the line.") from error
    return phrase


# ------------------------------------------------------------------------------------------------------------ concepts


class _Concepts:
    """Concepts in the order they are met, by phrase and by the file's own id."""

    def __init__(self, path: Path | None) -> None:
        self.phrases: list[str] = []
        self.frequency: list[int] = []
        self._surfaces: list[str] = []
        self._heads: list[tuple[str, tuple[str, ...]] | None] = []
        self.of_phrase: dict[str, int] = {}
        self.of_query: dict[object, int] = {}
        for where, record in _records(path):
            self._read(where, record)
        if not self.phrases:
            raise InputError(f"{path} lists no concept; give the release's concept files.")

    def add(self, phrase: str) -> int:
        """The id of a phrase, new if it is not known."""
        concept = self.of_phrase.setdefault(phrase, len(self.phrases))
        if concept == len(self.phrases):
            self.phrases.append(phrase)
            self._surfaces.append(phrase)
            self._heads.append(None)
            self.frequency.append(0)
        return concept

    def _read(self, where: str, record: dict[str, Any]) -> None:
        phrase = _phrase(where, record, "phrase")
        if not phrase.strip():
            raise InputError(f"{where}: the phrase is empty; remove the line.")
        query, text = _field(where, record, "query_id", int, str), _phrase(where, record, "query_text")
        concept = self.add(phrase)
        if self.of_query.setdefault(query, concept) != concept:
            raise InputError(f"{where}: query_id {query!r} is already that of another phrase; give each its own.")
        start, _, end = PROMPT.partition("{surface}")
        if text.startswith(start) and text.endswith(end) and text != start + end:
            self._surfaces[concept] = text.removeprefix(start).removesuffix(end)
        if "head" in record:
            modifiers = _field(where, record, "modifiers", list)
            if not all(isinstance(one, str) for one in modifiers):
                raise InputError(f"{where}: field 'modifiers' {_REQUIRED}; it is {modifiers!r}, correct the line.")
            self._heads[concept] = (_phrase(where, record, "head"), tuple(modifiers))
        if "frequency" in record:
            self.frequency[concept] = _field(where, record, "frequency", int)

    def table(self) -> PhraseTable:
        """Phrases with heads and modifiers, which are distinct."""
        taken: set[tuple[str, frozenset[str]]] = set()
        identities = []
        for phrase, given in zip(self.phrases, self._heads, strict=True):
            identity = given or _read_phrase(phrase)
            if (identity[0], frozenset(identity[1])) in taken:
                identity = (phrase, ())  # another order of the same words: a concept beside the first
            taken.add((identity[0], frozenset(identity[1])))
            identities.append(identity)
        heads, modifiers = zip(*identities, strict=True)
        return PhraseTable(self.phrases, self._surfaces, list(heads), list(modifiers))


def _read_phrase(phrase: str) -> tuple[str, tuple[str, ...]]:
    """Head and modifiers of a phrase; the last word with those before it where the word lists do not know better."""
    named = phrases_of_title(tokenise(unify_spelling(phrase)))
    finest = max(named, key=lambda one: len(one.phrase.split()), default=None)
    words = phrase.split()
    if finest is not None and len(finest.phrase.split()) == len(words):
        return finest.head, finest.modifiers
    return words[-1], tuple(dict.fromkeys(words[:-1]))


# ---------------------------------------------------------------------------------------------------- is-a, prototypes


def _edges(path: Path | None, concepts: _Concepts) -> dict[int, dict[int, None]]:
    """Parents of each child, the primary one last."""
    parents: dict[int, dict[int, None]] = {}
    for where, record in _records(path):
        phrase, father = _phrase(where, record, "phrase"), _phrase(where, record, "phrase_father")
        if phrase not in concepts.of_phrase:
            raise InputError(f"{where}: {phrase!r} is not in {QUERIES}; add it there or remove the line.")
        if father.strip() and father != phrase:
            own = parents.setdefault(concepts.of_phrase[phrase], {})
            parent = concepts.add(father)
            own.pop(parent, None)
            own[parent] = None
    return parents


def _hierarchy(folder: Path, parents: Mapping[int, Mapping[int, None]], count: int) -> Hierarchy:
    edges = sorted((child, parent, parent == [*own][-1]) for child, own in parents.items() for parent in own)
    child, parent, primary = (np.array([edge[column] for edge in edges], dtype=np.int64) for column in range(3))
    try:
        closure_csr(child, parent, count)
    except ValueError as error:
        raise InputError(f"{folder}: the fathers in *{FATHERS} go round in a circle; remove one.") from error
    depth = np.zeros(count, dtype=np.int64)
    first = {one: other for one, other, is_primary in edges if is_primary}
    for concept in range(count):
        above = concept
        while above in first:
            above = first[above]
            depth[concept] += 1
    return Hierarchy(child, parent, primary.astype(np.bool_), depth)


def _image_names(path: Path | None) -> dict[str, str]:
    """The graph's image id of each number."""
    return {
        str(_field(where, record, "image_id", int, str)): _phrase(where, record, "name")
        for where, record in _records(path)
    }


def _prototypes(path: Path, concepts: _Concepts, names: Mapping[str, str]) -> PrototypeColumns:
    found: dict[int, Sequence[tuple[str, float]]] = {}
    for where, record in _records(path):
        query, items = _field(where, record, "query_id", int, str), _field(where, record, "item_ids", list)
        similarities = record.get("similarities", [0.0] * len(items))
        if query not in concepts.of_query:
            raise InputError(f"{where}: query_id {query!r} is not in {QUERIES}; remove the line.")
        if not all(isinstance(one, int | str) for one in items) or not _numbers(similarities, len(items)):
            raise InputError(f"{where}: item_ids and similarities do not fit each other; correct the line.")
        ids = (names.get(str(one), str(one)) for one in items)
        found[concepts.of_query[query]] = list(zip(ids, similarities, strict=True))
    rows = [(concept, rank, *one) for concept in sorted(found) for rank, one in enumerate(found[concept])]
    return PrototypeColumns(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int32),
        [row[2] for row in rows],
        np.array([row[3] for row in rows], dtype=np.float32),
    )


def _numbers(values: object, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(isinstance(one, int | float) for one in values)
