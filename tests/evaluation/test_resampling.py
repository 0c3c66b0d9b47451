"""Intervals cover, a null is seldom significant, a real difference is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from easynlp_fashionklip.evaluation.breakdown import by_category, by_concept, changes, extremes
from easynlp_fashionklip.evaluation.gallery import PairGallery
from easynlp_fashionklip.evaluation.measures import Measure, ProtocolRun, Query, weighted_scores
from easynlp_fashionklip.evaluation.pair_protocols import full_gallery
from easynlp_fashionklip.evaluation.resampling import compare, intervals
from easynlp_fashionklip.evaluation.run_folder import concepts_from

MEASURES = {
    "mean": Measure("mean", "percent", "asked"),
    "medR": Measure("median", "rank", "asked"),
    "f1": Measure("weighted_f1", "percent", "asked"),
    "both": Measure("average", "percent", "", ("mean", "f1")),
}


def made_run(values: np.ndarray, clusters: np.ndarray | None = None, classes: np.ndarray | None = None) -> ProtocolRun:
    size = len(values)
    classes = np.zeros((size, 2), np.int64) if classes is None else classes
    return ProtocolRun(
        protocol="made",
        facts={},
        queries=[Query(str(n), f"q{n}", category="even" if n % 2 == 0 else "odd") for n in range(size)],
        rows={"asked": np.arange(size)},
        clusters={"asked": np.arange(size) if clusters is None else clusters},
        values={"mean": values, "medR": values, "f1": classes},
        measures=MEASURES,
        primary=("mean",),
    )


def test_weights_are_repetitions() -> None:
    """A query of weight 3 counts as three queries, for every statistic."""
    random = np.random.default_rng(0)
    values, classes = random.integers(1, 9, 12).astype(float), random.integers(0, 3, (12, 2))
    weights = random.integers(0, 4, (20, 12))
    found = weighted_scores(made_run(values, classes=classes), {"asked": weights.astype(float)})
    for n, times in enumerate(weights):
        repeated = made_run(np.repeat(values, times), classes=np.repeat(classes, times, axis=0)).scores
        assert repeated["medR"] == np.median(np.repeat(values, times))
        for name in MEASURES:
            assert found[name][n] == pytest.approx(repeated[name])


def test_the_interval_of_a_mean_is_the_textbooks() -> None:
    values = np.random.default_rng(0).normal(size=400)
    low, high = intervals(made_run(values), resamples=2000)["mean"]
    error = 196 * values.std(ddof=1) / 20
    assert low == pytest.approx(100 * values.mean() - error, abs=0.15 * error)
    assert high == pytest.approx(100 * values.mean() + error, abs=0.15 * error)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for number in range(200):
        low, high = intervals(made_run((random.random(120) < 0.4).astype(float)), resamples=300, seed=number)["mean"]
        covered += low <= 40 <= high
    assert 180 <= covered <= 198  # 95 % of 200, give or take three standard deviations


def test_queries_of_one_product_are_drawn_together() -> None:
    """Ten queries that say the same are worth one: the interval is as wide as without the copies."""
    values = np.random.default_rng(0).normal(size=100)
    alone = np.diff(intervals(made_run(values), resamples=2000)["mean"])[0]
    copied = made_run(np.repeat(values, 10), np.repeat(np.arange(100), 10))
    assert np.diff(intervals(copied, resamples=2000)["mean"])[0] == pytest.approx(alone, rel=0.1)
    naive = made_run(np.repeat(values, 10))
    assert np.diff(intervals(naive, resamples=2000)["mean"])[0] < alone / 2.5


def test_results_are_the_same_for_the_same_seed() -> None:
    first, second = (made_run(np.random.default_rng(n).normal(size=50)) for n in range(2))
    assert intervals(first, seed=3) == intervals(first, seed=3) != intervals(first, seed=4)
    once = compare(first, second, resamples=100, permutations=200, seed=3)
    assert once == compare(first, second, resamples=100, permutations=200, seed=3)


def test_a_null_is_significant_as_seldom_as_it_should_be() -> None:
    """Both runs are the same noisy encoder: p is about uniform."""
    random, p = np.random.default_rng(0), {"mean": [], "medR": []}
    for number in range(200):
        truth = random.normal(size=60)
        runs = [made_run((truth + random.normal(size=60)).round(1)) for _ in range(2)]
        found = compare(*runs, resamples=2, permutations=200, seed=number)
        for name, values in p.items():
            values.append(found[name].p)
    for values in p.values():
        assert sum(one <= 0.05 for one in values) <= 20  # 10 expected; 20 is three standard deviations away
        assert sum(one <= 0.5 for one in values) <= 122
    assert sum(one <= 0.5 for one in p["mean"]) >= 80


def test_a_real_difference_is_found() -> None:
    random = np.random.default_rng(0)
    base = random.normal(size=200)
    first, second = made_run(base), made_run(base + 0.2 + 0.3 * random.normal(size=200))
    found = compare(first, second, resamples=500, permutations=2000)
    assert found["mean"].difference == pytest.approx(20, abs=7)
    assert found["mean"].p < 0.001 and found["mean"].low > 0
    assert found["mean"].p >= 1 / 2001  # never 0
    assert found["mean"].first == pytest.approx(100 * base.mean())
    backwards = compare(second, first, resamples=500, permutations=2000)
    assert backwards["mean"].difference == pytest.approx(-found["mean"].difference)
    assert backwards["mean"].high < 0


def test_the_permutation_test_equals_all_swaps() -> None:
    """Six queries: all 64 swaps, by hand."""
    first, second = np.array([1.0, 2, 3, 4, 5, 6]), np.array([3.0, 1, 5, 7, 5, 9])
    gain = second - first
    signs = np.array([[1 - 2 * (n >> bit & 1) for bit in range(6)] for n in range(64)])
    exact = (np.abs(signs @ gain) >= abs(gain.sum()) - 1e-9).mean()
    found = compare(made_run(first), made_run(second), resamples=2, permutations=20_000)
    assert found["mean"].p == pytest.approx(exact, abs=0.012)


def test_labels_are_tested_too() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 300)
    good = np.where(random.random(300) < 0.8, truth, random.integers(0, 4, 300))
    poor = np.where(random.random(300) < 0.5, truth, random.integers(0, 4, 300))
    runs = [made_run(np.ones(300), classes=np.stack([truth, guess], axis=1)) for guess in (poor, good)]
    found = compare(*runs, resamples=300, permutations=1000)
    assert found["f1"].difference > 10 and found["f1"].p < 0.01 and found["f1"].low > 0
    assert found["mean"].p == 1  # which do not differ at all


def test_equal_runs_differ_by_nothing() -> None:
    run = made_run(np.random.default_rng(0).normal(size=50))
    found = compare(run, run, resamples=50, permutations=100)
    assert found["mean"].difference == found["mean"].low == found["mean"].high == 0
    assert found["mean"].p == 1


def test_a_better_encoder_wins_the_full_gallery(gallery: Callable[..., PairGallery]) -> None:
    poor, good = (full_gallery(gallery(rows=150, products=100, noise=noise)) for noise in (2.0, 1.2))
    found = compare(poor, good, resamples=200, permutations=500)
    assert found["mean_recall"].p < 0.01 and found["mean_recall"].low > 0
    assert found["image_to_text_medR"].difference < 0 and found["image_to_text_medR"].high <= 0
    bounds = intervals(good, resamples=200)
    for name, score in good.scores.items():
        assert bounds[name][0] <= score <= bounds[name][1]


# ---- by group


def test_categories_are_means_of_their_queries() -> None:
    values = np.arange(7, dtype=float)
    groups = by_category(made_run(values))
    assert [(group.name, group.queries, group.score) for group in groups] == [
        ("even", 4, pytest.approx(100 * (0 + 2 + 4 + 6) / 4)),
        ("odd", 3, pytest.approx(300)),
    ]


def test_concepts_are_means_of_the_queries_that_mention_them() -> None:
    run = made_run(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
    concepts = concepts_from([["dress"], ["dress", "red"], ["red"], [], ["dress"], ["hat"]])
    found = {group.name: (group.queries, group.score) for group in by_concept(run, concepts, least=2)}
    assert found == {"dress": (3, pytest.approx(100 * 0.8 / 3)), "red": (2, pytest.approx(25))}
    best, worst = extremes(by_concept(run, concepts, least=1), 5)
    assert [group.name for group in best] == ["hat"] and [group.name for group in worst] == ["red"]


def test_concepts_that_improved_are_told_from_chance() -> None:
    random = np.random.default_rng(0)
    mentioned = [["better"] if n < 60 else [f"none{n % 10}"] for n in range(300)]
    before = random.random(300)
    after = before + 0.1 * random.normal(size=300) + np.where(np.arange(300) < 60, 0.2, 0)
    found = changes(made_run(before), made_run(after), concepts_from(mentioned))
    assert len(found) == 11 and found[0].name == "better"
    assert found[0].q < 0.05 and found[0].difference == pytest.approx(20, abs=5)
    assert sum(change.q <= 0.05 for change in found[1:]) <= 1
    few = concepts_from([["rare"] if n < 5 else [] for n in range(300)])
    assert changes(made_run(before), made_run(after), few) == []


def test_groups_of_products_with_several_queries_are_not_told_apart_by_chance() -> None:
    """Four queries of each product, which go together: nothing changed, and hardly anything is called a change."""
    random = np.random.default_rng(1)
    products = np.repeat(np.arange(240), 4)
    mentioned = concepts_from([[f"c{product % 20}"] for product in products])
    found = 0
    for _ in range(10):
        before, after = (np.repeat(random.random(240), 4) for _ in range(2))
        runs = (made_run(values, clusters=products) for values in (before, after))
        found += any(change.q <= 0.05 for change in changes(*runs, mentioned))
    assert found <= 2


def test_the_one_concept_of_a_thousand_that_changed_is_found() -> None:
    random = np.random.default_rng(2)
    mentioned = concepts_from([["better"] if n < 100 else [f"none{n % 999}"] for n in range(8100)])
    before = random.random(8100)
    after = before + 0.1 * random.normal(size=8100) + np.where(np.arange(8100) < 100, 0.2, 0)
    found = changes(made_run(before), made_run(after), mentioned)
    assert len(found) == 1000
    assert [change.name for change in found if change.q <= 0.05] == ["better"]


def test_own_scores_average_over_redraws_and_measures() -> None:
    run = made_run(np.array([0.0, 1.0, 0.5]))
    twice = ProtocolRun(
        "made",
        {},
        run.queries,
        {"asked": np.array([0, 2, 0])},
        {"asked": np.arange(3)},
        run.values,
        MEASURES,
        ("mean",),
    )
    scores, count = twice.own_scores()
    assert scores.tolist() == [25, 0, 100] and count.tolist() == [2, 0, 1]
