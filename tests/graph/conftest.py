"""A small graph mined from titles, which need no parse, and the parsed pipeline where one is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.hierarchy import build_hierarchy
from easynlp_fashionklip.graph.pipeline import load_spacy
from easynlp_fashionklip.graph.store import ConceptGraph
from easynlp_fashionklip.graph.tables import GraphInfo, GraphTables, Mentions, PhraseTable, PrototypeColumns

spacy = pytest.importorskip("spacy")

if TYPE_CHECKING:
    from spacy.language import Language

TITLES = ["Short Sleeve T-Shirt in White", "Black T-Shirt", "White T-Shirt", "Short Sleeve T-Shirt", "Slim Fit Jeans"]
PRODUCTS = ["p0", "p1", "p2", "p3", "p4"]


@pytest.fixture(scope="session")
def blank() -> Language:
    """A pipeline that parses nothing: enough for Title Case texts."""
    return spacy.blank("en")


@pytest.fixture(scope="session")
def nlp() -> Language:
    """An installed English pipeline."""
    try:
        return load_spacy()
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture()
def graph(blank: Language) -> ConceptGraph:
    """Graph of `TITLES` with every concept kept."""
    return build_graph(TITLES, PRODUCTS, blank, min_frequency=1)


def hand_made(
    concepts: Sequence[tuple[str, str, Sequence[str], int]],
    prototypes: Mapping[int, Sequence[tuple[str, float]]] | None = None,
    surfaces: Mapping[int, str] | None = None,
) -> ConceptGraph:
    """A graph of (phrase, head, modifiers, frequency) without products; prototypes are (image id, similarity)."""
    phrases, heads, modifiers, frequency = (list(column) for column in zip(*concepts, strict=True))
    rows = [(c, rank, *one) for c, own in sorted((prototypes or {}).items()) for rank, one in enumerate(own)]
    none = np.zeros(0, dtype=np.int64)
    columns = PrototypeColumns(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int32),
        [row[2] for row in rows],
        np.array([row[3] for row in rows], dtype=np.float32),
    )
    spelt = [(surfaces or {}).get(i, phrase) for i, phrase in enumerate(phrases)]
    tables = GraphTables(
        info=GraphInfo(min_frequency=1),
        concepts=PhraseTable(phrases, spelt, heads, [tuple(own) for own in modifiers]),
        frequency=np.array(frequency, dtype=np.int64),
        hierarchy=build_hierarchy(phrases, heads, modifiers, frequency),
        product_ids=[],
        mention_offsets=np.zeros(1, dtype=np.int64),
        mention_concepts=none,
        rare=Mentions(PhraseTable(), [], none, none),
        prototypes=columns,
    )
    return ConceptGraph(tables, origin="hand-made")


@pytest.fixture(scope="session")
def make_graph() -> Callable[..., ConceptGraph]:
    """See `hand_made`."""
    return hand_made


# What phrases of somebody's catalogue may hold: quotes, markup, control characters, other scripts, path steps.
HOSTILE = (
    'the "best" tee',
    "back\\slash, comma; semicolon",
    "new\nline and\ttab\rreturn",
    "bell\x07 escape\x1b[31m nul\x00 del\x7f",
    "</script><script>document.title='broken'</script><!--",
    "& < > ' ]]> {{data}} %20",
    "\U0001f457 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u4e1d\u7ef8\u8fde\u8863\u88d9",
    "\u202eright to left\u202c \u2028 \ufeff \ufffe",
    "..",
    "=1+1",
    " blanks around ",
)


@pytest.fixture(scope="session")
def shirts() -> ConceptGraph:
    """t-shirt; white and v-neck t-shirts, which share a child; a dress; an apparel root for each hostile phrase."""
    concepts = [
        ("t-shirt", "t-shirt", (), 9),
        ("white t-shirt", "t-shirt", ("white",), 5),
        ("v-neck t-shirt", "t-shirt", ("v-neck",), 4),
        ("white v-neck t-shirt", "t-shirt", ("white", "v-neck"), 2),
        ("dress", "dress", (), 7),
        *((phrase, phrase, (), 1) for phrase in HOSTILE),
    ]
    prototypes = {
        0: [("p1", 0.3125), ("p2", 0.1), ("p1#1", 0.25)],
        3: [("p2", 1 / 3)],
        4: [('he said "p", \n<3>', 0.5)],
    }
    return hand_made(concepts, prototypes, {0: "T-Shirt", 5: 'THE "BEST" TEE'})
