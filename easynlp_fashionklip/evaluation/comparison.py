"""Two runs of one protocol beside each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.resampling import PERMUTATIONS, RESAMPLES, Difference, compare
from easynlp_fashionklip.evaluation.run_folder import SavedRun

_SAME = {
    "gallery_digest": "search other galleries",
    "queries_digest": "ask other queries",
    "labels_digest": "have other labels",
    "prompt": "have other prompts",
    "seed": "were drawn with other seeds",
    "candidates_digest": "drew other candidates",
}


@dataclass(frozen=True)
class Comparison:
    """Every measure of two comparable runs."""

    first: SavedRun
    second: SavedRun
    differences: Mapping[str, Difference]
    resamples: int
    permutations: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """What `comparison.json` holds; differences are the second run's value minus the first's."""
        return {
            "protocol": self.first.run.protocol,
            "first": {"run": self.first.origin, **self.first.provenance},
            "second": {"run": self.second.origin, **self.second.provenance},
            "how_measured": dict(self.first.run.facts),
            "measures": {name: _plain(one) for name, one in self.differences.items()},
            "interval": f"95 %, paired bootstrap over products or query texts, {self.resamples:,} resamples",
            "p": f"paired permutation test, two-sided, {self.permutations:,} permutations",
            "seed": self.seed,
        }


def _plain(difference: Difference) -> dict[str, float | None]:
    """As JSON has it, which knows no NaN."""
    return {name: None if math.isnan(value) else value for name, value in asdict(difference).items()}


def compare_runs(
    first: SavedRun,
    second: SavedRun,
    *,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Comparison:
    """Compare two runs query by query.

    Raises:
        InputError: they are of different protocols, galleries, queries or draws.
    """
    check_comparable(first, second)
    differences = compare(first.run, second.run, resamples=resamples, permutations=permutations, seed=seed)
    return Comparison(first, second, differences, resamples, permutations, seed)


def check_comparable(first: SavedRun, second: SavedRun) -> None:
    """Raise InputError unless both runs asked the same."""
    one, other = first.run, second.run
    remedy = "compare runs of one protocol, table, query file and seed"
    named = f"{first.origin} and {second.origin}"
    if one.protocol != other.protocol:
        raise InputError(f"{named} are of different protocols, {one.protocol} and {other.protocol}; {remedy}.")
    for fact, what in _SAME.items():
        if one.facts.get(fact) != other.facts.get(fact):
            raise InputError(f"{named} {what} ({one.facts.get(fact)}, {other.facts.get(fact)}); {remedy}.")
    same_rows = one.rows.keys() == other.rows.keys() and all(
        np.array_equal(rows, other.rows[asked]) for asked, rows in one.rows.items()
    )
    if not same_rows or list(one.measures) != list(other.measures):
        raise InputError(f"{named} ask other queries; {remedy}.")
