"""A run's score by group: categories, kinds of queries, concepts of the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from easynlp_fashionklip.evaluation.measures import ProtocolRun
from easynlp_fashionklip.evaluation.run_folder import Concepts, concepts_from
from easynlp_fashionklip.graph.csr import rows_of

MIN_QUERIES = 5
_PERMUTATIONS = 2000


@dataclass(frozen=True)
class Group:
    """A group's mean own score (`ProtocolRun.own_scores`) and how many queries it has."""

    name: str
    score: float
    queries: int


@dataclass(frozen=True)
class GroupChange:
    """A group in two runs; `q` is p of a permutation test, corrected for the number of groups tested."""

    name: str
    before: float
    after: float
    queries: int
    q: float

    @property
    def difference(self) -> float:
        """After minus before."""
        return self.after - self.before


def by_category(run: ProtocolRun) -> list[Group]:
    """Groups by category or, where queries have none, by kind; the largest first."""
    return by_concept(run, category_groups(run), least=1)


def category_groups(run: ProtocolRun) -> Concepts:
    """The category or else the kind of each query, in the form that concepts have."""
    names = (query.category or query.kind for query in run.queries)
    return concepts_from([[name] if name else [] for name in names])


def by_concept(run: ProtocolRun, concepts: Concepts, *, least: int = MIN_QUERIES) -> list[Group]:
    """Groups of the queries that mention a concept, of at least `least` queries; the largest first."""
    scores, asked = run.own_scores()
    rows, numbers = _members(concepts, asked)
    count = np.bincount(numbers, minlength=len(concepts.phrases))
    total = np.bincount(numbers, weights=scores[rows], minlength=len(concepts.phrases))
    found = [
        Group(name, float(total[n] / count[n]), int(count[n]))
        for n, name in enumerate(concepts.phrases)
        if count[n] >= least
    ]
    return sorted(found, key=lambda group: (-group.queries, group.name))


def _members(concepts: Concepts, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(query, concept) of every mention by a query that was asked at all."""
    rows = rows_of(concepts.offsets)
    keep = asked[rows] > 0
    return rows[keep], concepts.numbers[keep]


def changes(
    first: ProtocolRun, second: ProtocolRun, concepts: Concepts, *, least: int = MIN_QUERIES, seed: int = 0
) -> list[GroupChange]:
    """By concept, what the second run changes; the largest gain first.

    p of a concept is of a permutation test as in `resampling.compare`, by query; q is Benjamini and Hochberg's
    correction: among the concepts with q <= 0.05 about one in twenty is expected to be there by chance.
    """
    before, asked = first.own_scores()
    after = second.own_scores()[0]
    rows, numbers = _members(concepts, asked)
    size = np.bincount(numbers, minlength=len(concepts.phrases))
    kept = np.flatnonzero(size >= least)
    if not len(kept):
        return []
    keep = size[numbers] >= least
    rows, numbers = rows[keep], np.searchsorted(kept, numbers[keep])
    q = _corrected(_p_values(after - before, rows, numbers, seed))
    means = [np.bincount(numbers, scores[rows], len(kept)) / size[kept] for scores in (before, after)]
    found = [
        GroupChange(concepts.phrases[n], float(means[0][i]), float(means[1][i]), int(size[n]), float(q[i]))
        for i, n in enumerate(kept.tolist())
    ]
    return sorted(found, key=lambda change: (-change.difference, change.name))


def _p_values(difference: np.ndarray, rows: np.ndarray, numbers: np.ndarray, seed: int) -> np.ndarray:
    random = np.random.default_rng([seed, 3])
    own = difference[rows]
    observed = np.abs(np.bincount(numbers, own))
    as_large = np.zeros(len(observed))
    for _ in range(_PERMUTATIONS):
        signs = random.integers(0, 2, size=len(difference)) * 2.0 - 1
        as_large += np.abs(np.bincount(numbers, own * signs[rows])) >= observed - 1e-9
    return (1 + as_large) / (1 + _PERMUTATIONS)


def _corrected(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's q."""
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    found = np.empty(len(p))
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return found


def extremes(groups: Sequence[Group], count: int) -> tuple[list[Group], list[Group]]:
    """The best and the worst by score; of equals, the larger first."""
    ordered = sorted(groups, key=lambda group: (-group.score, -group.queries, group.name))
    half = min(count, len(ordered) // 2)
    return ordered[:half], ordered[::-1][:half]


def kind_scores(run: ProtocolRun) -> Mapping[str, tuple[int, dict[str, float]]]:
    """By kind of query: how many there are, and every measure that is a mean over queries, as shown."""
    found: dict[str, tuple[int, dict[str, float]]] = {}
    for asked, rows in run.rows.items():
        kinds = np.array([run.queries[row].kind for row in rows.tolist()], dtype=object)
        for kind in sorted({kind for kind in kinds.tolist() if kind}):
            chosen = np.flatnonzero(kinds == kind)
            means = {
                name: float(run.values[name][chosen].mean() * measure.scale)
                for name, measure in run.measures.items()
                if measure.statistic == "mean" and measure.asked == asked
            }
            found[kind] = (len(chosen), means)
    return found
