"""A small graph mined from titles, which need no parse, and the parsed pipeline where one is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.pipeline import load_spacy
from easynlp_fashionklip.graph.store import ConceptGraph

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
