"""A run of a protocol: its queries' own values, and the numbers that are made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from easynlp_fashionklip import metrics

Statistic = Literal["mean", "median", "weighted_f1", "macro_f1", "average"]
Unit = Literal["percent", "rank"]
RECALL_AT = (1, 5, 10)


@dataclass(frozen=True)
class Query:
    """What was asked: an id, its words, and where known its product, category and kind."""

    query_id: str
    text: str
    product_id: str = ""
    category: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Measure:
    """One number of a run.

    Attributes:
        statistic: of the queries' values; `average` is the mean of the measures `parts`.
        unit: shares are shown in percent.
        asked: the set of queries it is taken over: `image_to_text`, `text_to_image`, `search`, `picture`.
        parts: names of other measures; for `average` alone.
    """

    statistic: Statistic
    unit: Unit = "percent"
    asked: str = ""
    parts: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """What a value is multiplied with to be shown."""
        return 100.0 if self.unit == "percent" else 1.0

    @property
    def better(self) -> int:
        """1 where more is better, -1 where less is."""
        return -1 if self.unit == "rank" else 1


@dataclass(frozen=True)
class ProtocolRun:
    """What a protocol measured.

    Attributes:
        protocol: its name.
        facts: how it was measured: hit rule, gallery, redraws, seed, ...; plain JSON values.
        queries: everything that was asked, once.
        rows: of each set of queries: int64 (Q,), positions in `queries`.
        clusters: of each set: int64 (Q,); queries of equal clusters (one product's) are not independent.
        values: of each measure but averages: float64 (Q,) or, for F1, int64 (Q, 2) of true and predicted class.
        measures: by name, in the order of tables.
        primary: measures whose mean is a query's own score, for categories, concepts and the worst queries.
        spread: standard deviation over redraws, of measures that have it, scaled as shown.
        candidates: arrays to keep beside the result, such as the lists that were drawn.
    """

    protocol: str
    facts: dict[str, Any]
    queries: Sequence[Query]
    rows: Mapping[str, np.ndarray]
    clusters: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]
    measures: Mapping[str, Measure]
    primary: tuple[str, ...]
    spread: Mapping[str, float] = field(default_factory=dict)
    candidates: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def scores(self) -> dict[str, float]:
        """Every measure as shown: percent, or ranks."""
        weights = {asked: np.ones((1, len(rows))) for asked, rows in self.rows.items()}
        return {name: float(value[0]) for name, value in weighted_scores(self, weights).items()}

    def own_scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each of `queries`: its mean over the primary measures, as shown, and how many values that is of."""
        total, count = np.zeros(len(self.queries)), np.zeros(len(self.queries))
        for name in self.primary:
            measure = self.measures[name]
            values = self.values[name]
            shown = (values[:, 0] == values[:, 1]).astype(float) if values.ndim == 2 else values
            total += np.bincount(self.rows[measure.asked], shown * measure.scale, len(self.queries))
            count += np.bincount(self.rows[measure.asked], minlength=len(self.queries))
        return np.divide(total, count, out=np.zeros_like(total), where=count > 0), count


def weighted_scores(
    run: ProtocolRun, weights: Mapping[str, np.ndarray], other: ProtocolRun | None = None
) -> dict[str, np.ndarray]:
    """Every measure under weights of the queries, (B, Q) for each set: B values each, as shown.

    With `other`, a run of the same queries, the weights are (B, 2 Q): those of this run's values, then of the other's.
    """
    values = run.values
    if other is not None:
        values = {name: np.concatenate([own, other.values[name]]) for name, own in values.items()}
    found = _means(run, values, weights)
    for name, measure in run.measures.items():
        if measure.statistic == "average":
            found[name] = np.mean([found[part] for part in measure.parts], axis=0)
        elif measure.statistic == "median":
            found[name] = measure.scale * _median(values[name], weights[measure.asked])
        elif measure.statistic != "mean":
            weighted, macro = _f1(values[name], weights[measure.asked])
            found[name] = measure.scale * (weighted if measure.statistic == "weighted_f1" else macro)
    return {name: found[name] for name in run.measures}


def _means(
    run: ProtocolRun, values: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Every measure that is a mean; those of one set of queries in one product of matrices."""
    found: dict[str, np.ndarray] = {}
    for asked, weight in weights.items():
        names = [name for name, one in run.measures.items() if one.statistic == "mean" and one.asked == asked]
        if names:
            scaled = np.stack([run.measures[name].scale * values[name] for name in names], axis=1)
            means = (weight @ scaled) / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
            found |= dict(zip(names, means.T, strict=True))
    return found


def _median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted medians; of an even number, the mean of the middle two."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[:, order], axis=1)
    half = below[:, -1:] / 2
    lower, upper = (below >= half).argmax(axis=1), (below > half).argmax(axis=1)
    return (values[order[lower]] + values[order[upper]]) / 2


def _f1(classes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    one_hot = np.eye(classes.max(initial=0) + 1)
    truth, predicted = one_hot[classes[:, 0]], one_hot[classes[:, 1]]
    return metrics.f1_by_class(weights @ (truth * predicted), weights @ truth, weights @ predicted)


def rank_measures(asked: str, *, name: str = "", recall_at: Sequence[int] = RECALL_AT) -> dict[str, Measure]:
    """R@K, MRR, mean and median rank of a set of queries, named `<name>_R@1` ...; `values_of_ranks` fills them."""
    start = f"{name or asked}_"
    hits = {f"{start}R@{k}": Measure("mean", "percent", asked) for k in recall_at}
    return {
        **hits,
        f"{start}mean_recall": Measure("average", "percent", asked, tuple(hits)),
        f"{start}MRR": Measure("mean", "percent", asked),
        f"{start}meanR": Measure("mean", "rank", asked),
        f"{start}medR": Measure("median", "rank", asked),
    }


def values_of_ranks(name: str, ranks: np.ndarray, recall_at: Sequence[int] = RECALL_AT) -> dict[str, np.ndarray]:
    """Each query's values for `rank_measures`, from the ranks of their best relevant items."""
    values = {f"{name}_R@{k}": (ranks <= k).astype(np.float64) for k in recall_at}
    values[f"{name}_MRR"] = 1.0 / ranks
    values[f"{name}_meanR"] = values[f"{name}_medR"] = ranks.astype(np.float64)
    return values


def overall_mean_recall(measures: Mapping[str, Measure]) -> Measure:
    """The mean of all R@K among the measures."""
    return Measure("average", "percent", "", tuple(name for name in measures if "_R@" in name))


def digest(parts: Iterable[str]) -> str:
    """Sixteen hexadecimal digits that two equal sequences of texts share."""
    total = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        total.update(len(encoded).to_bytes(8, "little") + encoded)
    return total.hexdigest()
