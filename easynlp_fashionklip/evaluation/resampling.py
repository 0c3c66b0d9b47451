"""How far a number may be luck: bootstrap intervals and a paired permutation test, over products rather than queries.

A product's pictures and texts are asked about more than once, and these answers go together. Both methods therefore
draw whole clusters of queries (`ProtocolRun.clusters`): all that ask about one product, or with the same words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from easynlp_fashionklip.evaluation.measures import ProtocolRun, weighted_scores

RESAMPLES = 1000
PERMUTATIONS = 10_000
LEAST_CLUSTERS = 5  # with fewer, the drawn samples hardly differ
FEW_CLUSTERS = 30  # with fewer, a percentile interval covers too little: 90 % with ten
_LEVELS = (2.5, 97.5)
_NUMBERS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Difference:
    """A measure of two runs, as shown: both values, the second minus the first, its 95 % interval, and p.

    `low` and `high` are NaN where there are fewer than `LEAST_CLUSTERS` clusters.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


class _Clusters:
    """The clusters of a run's sets of queries, numbered from 0 over all of them."""

    def __init__(self, run: ProtocolRun) -> None:
        keys = [run.clusters[asked] for asked in run.rows]
        codes = np.unique(np.concatenate(keys), return_inverse=True)[1] if keys else np.zeros(0, np.int64)
        parts = np.split(codes, np.cumsum([len(part) for part in keys])[:-1])
        self.of = dict(zip(run.rows, parts, strict=True))
        self.count = int(codes.max(initial=-1)) + 1
        self.at_once = max(1, _NUMBERS_AT_ONCE // max(1, len(codes), self.count))

    def spread(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """(B, clusters) -> (B, Q) for each set of queries."""
        return {asked: weights[:, code] for asked, code in self.of.items()}

    def bootstrap(self, resamples: int, random: np.random.Generator) -> Iterator[np.ndarray]:
        """How often each cluster is drawn: (B, clusters), some resamples at a time."""
        for size in self._sizes(resamples):
            drawn = random.integers(0, self.count, size=(size, self.count))
            drawn += self.count * np.arange(size)[:, None]
            yield np.bincount(drawn.ravel(), minlength=size * self.count).reshape(size, self.count).astype(np.float64)

    def swaps(self, permutations: int, random: np.random.Generator) -> Iterator[np.ndarray]:
        """1 for clusters whose answers change sides: (B, clusters), some permutations at a time."""
        for size in self._sizes(permutations):
            yield random.integers(0, 2, size=(size, self.count)).astype(np.float64)

    def _sizes(self, total: int) -> list[int]:
        return [min(self.at_once, total - start) for start in range(0, total, self.at_once)]


def clusters_of(run: ProtocolRun) -> int:
    """How many clusters a run's queries form: products, or query texts."""
    return _Clusters(run).count


def intervals(run: ProtocolRun, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % percentile bootstrap interval of every measure, as shown; none with fewer than `LEAST_CLUSTERS` clusters."""
    clusters, random = _Clusters(run), np.random.default_rng([seed, 1])
    if clusters.count < LEAST_CLUSTERS:
        return {}
    drawn = [weighted_scores(run, clusters.spread(weights)) for weights in clusters.bootstrap(resamples, random)]
    return {name: _interval(np.concatenate([part[name] for part in drawn])) for name in run.measures}


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, _LEVELS)
    return float(low), float(high)


def compare(
    first: ProtocolRun,
    second: ProtocolRun,
    *,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> dict[str, Difference]:
    """Every measure of two runs of the same queries: difference, interval, p.

    The interval is a paired bootstrap: both runs are scored on the same drawn clusters. p is of a paired permutation
    test, two-sided: how often a difference as large comes about when each cluster's answers are given to one run or the
    other by lot; (1 + as large) / (1 + permutations), so never 0.
    """
    clusters, random = _Clusters(first), np.random.default_rng([seed, 2])
    paired = [
        _differences(first, second, clusters, weights, weights) for weights in clusters.bootstrap(resamples, random)
    ]
    chance = [_swapped(first, second, clusters, swaps) for swaps in clusters.swaps(permutations, random)]
    one, other = first.scores, second.scores
    found = {}
    for name in first.measures:
        observed = other[name] - one[name]
        null = np.abs(np.concatenate([part[name] for part in chance]))
        p = (1 + int((null >= abs(observed) - 1e-9).sum())) / (1 + len(null))
        low, high = _interval(np.concatenate([part[name] for part in paired]))
        if clusters.count < LEAST_CLUSTERS:
            low = high = math.nan
        found[name] = Difference(one[name], other[name], observed, low, high, p)
    return found


def _differences(
    first: ProtocolRun, second: ProtocolRun, clusters: _Clusters, one: np.ndarray, other: np.ndarray
) -> Mapping[str, np.ndarray]:
    before = weighted_scores(first, clusters.spread(one))
    after = weighted_scores(second, clusters.spread(other))
    return {name: after[name] - before[name] for name in before}


def _swapped(
    first: ProtocolRun, second: ProtocolRun, clusters: _Clusters, swaps: np.ndarray
) -> Mapping[str, np.ndarray]:
    """Differences when the clusters with a 1 change sides."""
    moved = clusters.spread(swaps)
    kept = {asked: 1 - part for asked, part in moved.items()}
    before = {asked: np.concatenate([kept[asked], moved[asked]], axis=1) for asked in moved}
    after = {asked: np.concatenate([moved[asked], kept[asked]], axis=1) for asked in moved}
    one, other = weighted_scores(first, before, second), weighted_scores(first, after, second)
    return {name: other[name] - one[name] for name in one}
