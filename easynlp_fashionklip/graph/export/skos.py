"""The graph as a SKOS concept scheme in Turtle (https://www.w3.org/TR/skos-reference, https://www.w3.org/TR/turtle)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.export.output import new_file
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.records import Concept

MARK = "FashionMMKG as SKOS, written by easynlp-fashionklip"
DEFAULT_BASE = "https://example.org/fashionmmkg/"
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|^`\\]+")
_PREFIXES = {"skos": "http://www.w3.org/2004/02/skos/core#", "foaf": "http://xmlns.com/foaf/0.1/"}
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_ESCAPES.update({chr(code): f"\\u{code:04X}" for code in (*range(32), 127) if chr(code) not in _ESCAPES})
_TO_ESCAPE = re.compile(f"[{re.escape(''.join(_ESCAPES))}]")


def write_skos(graph: ConceptGraph, out: str | Path, base: str = DEFAULT_BASE) -> None:
    """Write each concept as a skos:Concept of one skos:ConceptScheme.

    A concept has its phrase as prefLabel@en, its commonest spelling as altLabel@en where that is another, all parents
    as broader and all children as narrower, and its prototypes as foaf:depiction. Roots are the scheme's top concepts.
    IRIs are `<base>concept/<phrase>` and `<base>image/<image id>`, percent-encoded: they do not change when the graph
    grows. Frequencies and similarities have no place in SKOS.

    Raises:
        InputError: `base` is no absolute IRI, or `out` cannot be written or holds something else.
    """
    iris = _Iris(base)
    with new_file(out, MARK) as file:
        file.write(f"# {MARK}\n")
        file.writelines(f"@prefix {name}: <{iri}> .\n" for name, iri in _PREFIXES.items())
        roots = (concept.phrase for concept in graph.concepts if not graph.parents(concept.concept_id))
        file.writelines(_statement(iris.scheme, [("a", ["skos:ConceptScheme"]), _top_concepts(iris, roots)]))
        for concept in graph.concepts:
            file.writelines(_statement(iris.concept(concept.phrase), _properties(graph, concept, iris)))
        for image_id in dict.fromkeys(graph.tables.prototypes.image_ids):
            file.writelines(_statement(iris.image(image_id), [("a", ["foaf:Image"])]))


class _Iris:
    """IRIs under a base, in angle brackets."""

    def __init__(self, base: str) -> None:
        if not _ABSOLUTE.fullmatch(base):
            raise InputError(f"--base={base!r} is not an absolute IRI; give one like {DEFAULT_BASE}.")
        self._base = base if base.endswith(("/", "#", ":")) else f"{base}/"
        self.scheme = f"<{self._base}scheme>"

    def concept(self, phrase: str) -> str:
        return f"<{self._base}concept/{_encoded(phrase)}>"

    def image(self, image_id: str) -> str:
        return f"<{self._base}image/{_encoded(image_id)}>"


def _encoded(name: str) -> str:
    # '.' and '..' would be taken for steps of a path.
    return name.replace(".", "%2E") if name in (".", "..") else quote(name, safe="")


def _properties(graph: ConceptGraph, concept: Concept, iris: _Iris) -> Iterator[tuple[str, list[str]]]:
    phrases = graph.tables.concepts.phrases
    parents = graph.parents(concept.concept_id)
    yield "a", ["skos:Concept"]
    yield "skos:prefLabel", [_literal(concept.phrase)]
    if concept.surface != concept.phrase:
        yield "skos:altLabel", [_literal(concept.surface)]
    yield "skos:inScheme", [iris.scheme]
    yield "skos:topConceptOf", [] if parents else [iris.scheme]
    yield "skos:broader", [iris.concept(phrases[one]) for one in parents]
    yield "skos:narrower", [iris.concept(phrases[one]) for one in graph.children(concept.concept_id)]
    yield "foaf:depiction", [iris.image(one.image_id) for one in graph.prototypes(concept.concept_id)]


def _top_concepts(iris: _Iris, roots: Iterable[str]) -> tuple[str, list[str]]:
    return "skos:hasTopConcept", [iris.concept(phrase) for phrase in roots]


def _statement(subject: str, properties: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    """The lines of one subject; properties without values are left out."""
    lines = (f"{name} {', '.join(values)}" for name, values in properties if values)
    yield "\n"
    yield subject
    for number, line in enumerate(lines):
        yield f"{' ;' if number else ''}\n  {line}"
    yield " .\n"


def _literal(text: str) -> str:
    return f'"{_TO_ESCAPE.sub(lambda found: _ESCAPES[found[0]], text)}"@en'
