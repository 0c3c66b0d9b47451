"""A run's score by group: categories, kinds of queries, concepts of the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from easynlp_fashionklip.evaluation.measures import ProtocolRun
from easynlp_fashionklip.evaluation.run_folder import Concepts, concepts_from
from easynlp_fashionklip.graph.csr import rows_of

MIN_QUERIES = 5
MIN_CLUSTERS = 6  # fewer cannot come to p <= 0.05: all on one side has a chance of 2 / 2 ** 5
LEVEL = 0.05
_PERMUTATIONS = 2000
_ENOUGH = 10  # permutations as large as what was observed, to know p well enough
_NUMBERS_AT_ONCE = 1 << 22


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


def changes(first: ProtocolRun, second: ProtocolRun, concepts: Concepts, *, seed: int = 0) -> list[GroupChange]:
    """By concept that `MIN_CLUSTERS` products or query texts mention, what the second run changes; most gained first.

    p of a concept is of a permutation test as in `resampling.compare`: whole clusters of queries change sides. q is
    Benjamini and Hochberg's correction: among the concepts with q <= 0.05 about one in twenty is expected to be there
    by chance.
    """
    before, asked = first.own_scores()
    after = second.own_scores()[0]
    rows, numbers = _members(concepts, asked)
    pairs = _Pairs.of(after - before, _cluster_of(first), rows, numbers, len(concepts.phrases))
    kept = np.flatnonzero(np.diff(pairs.offsets) >= MIN_CLUSTERS)
    if not len(kept):
        return []
    size = np.bincount(numbers, minlength=len(concepts.phrases))[kept]
    q = _corrected(_p_values(pairs.only(kept), seed))
    means = [np.bincount(numbers, scores[rows], len(concepts.phrases))[kept] / size for scores in (before, after)]
    found = [
        GroupChange(concepts.phrases[n], float(means[0][i]), float(means[1][i]), int(size[i]), float(q[i]))
        for i, n in enumerate(kept.tolist())
    ]
    return sorted(found, key=lambda change: (-change.difference, change.name))


def _cluster_of(run: ProtocolRun) -> np.ndarray:
    """The cluster of each query, numbered from 0; a query that was not asked is one of its own."""
    keys = -1 - np.arange(len(run.queries))
    for asked, rows in run.rows.items():
        keys[rows] = run.clusters[asked]
    return np.unique(keys, return_inverse=True)[1]


@dataclass(frozen=True)
class _Pairs:
    """What each cluster adds to a group's difference: group i has those from `offsets[i]` to `offsets[i + 1]`."""

    sums: np.ndarray
    clusters: np.ndarray
    offsets: np.ndarray

    @staticmethod
    def of(difference: np.ndarray, cluster: np.ndarray, rows: np.ndarray, numbers: np.ndarray, groups: int) -> _Pairs:
        """From (query, group) of every mention."""
        count = int(cluster.max(initial=-1)) + 1
        keys, place = np.unique(numbers * count + cluster[rows], return_inverse=True)
        sums = np.bincount(place, difference[rows], len(keys))
        return _Pairs(sums, keys % max(1, count), np.searchsorted(keys, count * np.arange(groups + 1)))

    def only(self, groups: np.ndarray) -> _Pairs:
        """Some of the groups, numbered anew in that order."""
        size = np.diff(self.offsets)[groups]
        offsets = np.concatenate([[0], np.cumsum(size)])
        chosen = np.repeat(self.offsets[groups] - offsets[:-1], size) + np.arange(offsets[-1])
        return _Pairs(self.sums[chosen], self.clusters[chosen], offsets)

    def as_large(self, draws: int, random: np.random.Generator) -> np.ndarray:
        """How often each group's difference is as large when each cluster changes sides by lot."""
        used, cluster = np.unique(self.clusters, return_inverse=True)
        start = self.offsets[:-1]
        observed, found = np.abs(np.add.reduceat(self.sums, start)), np.zeros(len(start))
        at_once = max(1, _NUMBERS_AT_ONCE // max(len(self.sums), len(used)))
        for done in range(0, draws, at_once):
            signs = random.integers(0, 2, size=(min(at_once, draws - done), len(used)), dtype=np.int8) * 2 - 1
            drawn = np.add.reduceat(signs[:, cluster] * self.sums, start, axis=1)
            found += (np.abs(drawn) >= observed - 1e-9).sum(axis=0)
        return found


def _p_values(pairs: _Pairs, seed: int) -> np.ndarray:
    """p of each group, none of which is empty, from more permutations where they decide whether q is below LEVEL.

    The smallest p that n permutations can find is 1 / (n + 1), which a correction for many groups would lift above any
    level. As in sequential Monte Carlo tests (Besag and Clifford 1991) a group is done once some were as large.
    """
    random = np.random.default_rng([seed, 3])
    groups = len(pairs.offsets) - 1
    as_large, done = np.zeros(groups), np.zeros(groups)
    limit, total = max(_PERMUTATIONS, round(_ENOUGH * groups / LEVEL)), _PERMUTATIONS
    undecided = np.arange(groups)
    while len(undecided):
        as_large[undecided] += pairs.only(undecided).as_large(int(total - done[undecided[0]]), random)
        done[undecided] = total
        if total == limit:
            break
        q = _corrected((1 + as_large) / (1 + done))
        undecided = undecided[(as_large[undecided] < _ENOUGH) & (q[undecided] > LEVEL)]
        total = min(10 * total, limit)
    return (1 + as_large) / (1 + done)


def _corrected(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's q."""
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    found = np.empty(len(p))
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return found


def extremes(groups: Sequence[Group], count: int) -> tuple[list[Group], list[Group]]:
    """The best and the worst by score, none in both; of equals, the larger first."""
    ordered = sorted(groups, key=lambda group: (-group.score, -group.queries, group.name))
    half = min(count, len(ordered) // 2)
    return ordered[: max(half, 1)], ordered[::-1][:half]


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
