"""The concept hierarchy that the captions really hold, and the queries that the attributes really answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from easynlp_fashionklip.data.sample.attributes import CATEGORY_BY_NAME, Attributes
from easynlp_fashionklip.data.sample.phrases import Phrase


def concepts_of(phrases: Iterable[Phrase]) -> tuple[Phrase, ...]:
    """Every concept that a caption naming `phrases` holds: they and what is nested in them, each once, in order."""
    return tuple(dict.fromkeys(nested for phrase in phrases for nested in phrase.nested()))


def concept_frequencies(captions: Iterable[Sequence[Phrase]]) -> dict[Phrase, int]:
    """How many products name each concept, in the order of the phrases' text."""
    counts = Counter(concept for phrases in captions for concept in concepts_of(phrases))
    return {concept: counts[concept] for concept in sorted(counts, key=lambda concept: concept.text)}


def is_a_edges(concepts: Iterable[Phrase]) -> list[tuple[str, str]]:
    """The transitive reduction of "same head, more modifiers" as (child, parent) phrases, sorted.

    A parent is a concept whose modifiers are a proper subset of the child's, with none between the two.
    """
    by_head: dict[str, dict[frozenset[str], Phrase]] = defaultdict(dict)
    for concept in concepts:
        by_head[concept.head][concept.modifiers] = concept
    return sorted(
        (child.text, known[modifiers].text)
        for known in by_head.values()
        for child in known.values()
        for modifiers in _closest(child.modifiers, known)
    )


def _closest(modifiers: frozenset[str], known: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    """The known proper subsets of `modifiers` that lie in no other of them."""
    found: list[frozenset[str]] = []
    names = frozenset(known)
    for size in range(len(modifiers) - 1, -1, -1):
        for chosen in combinations(sorted(modifiers), size):
            subset = frozenset(chosen)
            if subset in names and not any(subset < larger for larger in found):
                found.append(subset)
    return found


@dataclass(frozen=True)
class Query:
    """A search text and every product of the split that answers it; `kind` names the attributes it asks for."""

    text: str
    kind: str
    item_ids: tuple[str, ...]


def queries_of(products: Sequence[tuple[str, Attributes]]) -> list[Query]:
    """All queries that some product answers, by kind and text: category, colour and category, pattern and category.

    A product's colour is its main one: navy stripes on white answer "white t-shirt".
    """
    answers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for product_id, attributes in products:
        name = spoken_category(attributes.category)
        answers["category", name].append(product_id)
        answers["colour+category", f"{attributes.colour} {name}"].append(product_id)
        answers["pattern+category", f"{attributes.pattern} {name}"].append(product_id)
    return [Query(text, kind, tuple(answers[kind, text])) for kind, text in sorted(answers)]


def spoken_category(name: str) -> str:
    """The category as shoppers write it: shoes in the plural."""
    return f"{name}s" if CATEGORY_BY_NAME[name].number == "pair" else name
