"""is-a against a brute-force oracle."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easynlp_fashionklip.graph.hierarchy import build_hierarchy, closure_csr

_Concept = tuple[str, frozenset[str]]
_CONCEPTS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.frozensets(st.sampled_from("klmnopqrstu"), max_size=10)),
    unique=True,
    max_size=40,
)


def _oracle(concepts: list[_Concept]) -> set[tuple[int, int]]:
    def below(i: int, j: int) -> bool:
        return concepts[i][0] == concepts[j][0] and concepts[j][1] < concepts[i][1]

    n = range(len(concepts))
    order = [(i, j) for i in n for j in n if below(i, j)]
    return {(i, j) for i, j in order if not any(below(i, k) and below(k, j) for k in n)}


@settings(max_examples=150, deadline=None)
@given(_CONCEPTS)
def test_edges_are_the_transitive_reduction(concepts: list[_Concept]) -> None:
    """Exactly the oracle's edges; one primary each; the closure gives back the order."""
    phrases = [f"{head} {sorted(own)}" for head, own in concepts]
    frequency = [len(phrase) % 3 for phrase in phrases]
    found = build_hierarchy(phrases, [head for head, _ in concepts], [own for _, own in concepts], frequency)
    edges = _oracle(concepts)
    assert set(zip(found.child.tolist(), found.parent.tolist(), strict=True)) == edges
    for child in range(len(concepts)):
        parents = [j for i, j in edges if i == child]
        chosen = found.parent[(found.child == child) & found.primary].tolist()
        assert chosen == sorted(parents, key=lambda j: (-frequency[j], phrases[j]))[:1]
        assert found.depth[child] == (found.depth[chosen[0]] + 1 if chosen else 0)
    offsets, above = closure_csr(found.child, found.parent, len(concepts))
    for i, (head, own) in enumerate(concepts):
        expected = [j for j, (other, set_) in enumerate(concepts) if other == head and set_ < own]
        assert above[offsets[i] : offsets[i + 1]].tolist() == expected


def test_the_more_frequent_parent_is_primary() -> None:
    """Ties go to the alphabetically first."""
    phrases = ["t-shirt", "white t-shirt", "long t-shirt", "long white t-shirt"]
    modifiers = [set(), {"white"}, {"long"}, {"long", "white"}]
    for frequency, parent in (([9, 3, 2, 1], 1), ([9, 2, 3, 1], 2), ([9, 2, 2, 1], 2)):
        found = build_hierarchy(phrases, ["t-shirt"] * 4, modifiers, frequency)
        assert found.parent[(found.child == 3) & found.primary].tolist() == [parent]


def test_one_concept_twice_is_an_error() -> None:
    """Two equal concepts would be each other's neither parent nor child."""
    with pytest.raises(ValueError, match="twice"):
        build_hierarchy(["x a", "x a"], ["a", "a"], [{"x"}, {"x"}], [1, 1])


def test_a_cycle_is_an_error() -> None:
    """Edges from a file may be anything."""
    with pytest.raises(ValueError, match="cycle"):
        closure_csr(np.array([0, 1, 2]), np.array([1, 2, 0]), 4)


def test_twenty_thousand_concepts_of_one_head_take_seconds() -> None:
    """Looked up, not compared pairwise: 2e8 comparisons would take minutes."""
    triples = [frozenset({f"a{i % 97}", f"b{i // 97}", f"c{i % 7}"}) for i in range(20_000)]
    sets = list(dict.fromkeys([frozenset(), *(frozenset({one}) for own in triples for one in own), *triples]))
    started = time.perf_counter()
    found = build_hierarchy([str(sorted(own)) for own in sets], ["top"] * len(sets), sets, [1] * len(sets))
    assert time.perf_counter() - started < 20  # about 0.5 s on one core
    assert len(found.child) == 3 * len(triples) + (len(sets) - len(triples) - 1)
