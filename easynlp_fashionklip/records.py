"""The records that travel between the packages: a catalogue pair, a concept, an is-a edge, a prototype."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ImageReference:
    """Where a picture is, without decoding it.

    Exactly one of `path` and `encoded` (the bytes of a JPEG, PNG, ... file) is set. `origin` is how messages name it:
    "train.csv, line 7, column 'image', value 'images/3.jpg'".
    """

    origin: str
    path: Path | None = None
    encoded: bytes | None = None


@dataclass(frozen=True)
class ImageTextPair:
    """One row of a catalogue: a product's picture and its text. `position` counts the table's valid rows from 0."""

    position: int
    product_id: str
    text: str
    image: ImageReference | None = None


@dataclass(frozen=True)
class Concept:
    """A node of the concept graph.

    `phrase` is the normal form and identity, `surface` the commonest spelling (for prompts), `head` the head noun's
    normal form, `depth` the number of primary is-a edges up to a root, `frequency` how many products mention it.
    """

    concept_id: int
    phrase: str
    surface: str
    head: str
    depth: int
    frequency: int


@dataclass(frozen=True)
class IsA:
    """`child_id` is-a `parent_id`; `primary` marks the one parent that makes the graph the paper's tree."""

    child_id: int
    parent_id: int
    primary: bool


@dataclass(frozen=True)
class Prototype:
    """A picture chosen to stand for a concept: `rank` from 0, cosine `similarity` to the concept's prompt."""

    concept_id: int
    rank: int
    image_id: str
    similarity: float
