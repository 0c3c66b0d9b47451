"""The tables of a report, the same for HTML and Markdown: a title, remarks, a header, rows of cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from easynlp_fashionklip.evaluation.breakdown import (
    LEVEL,
    MIN_CLUSTERS,
    Group,
    GroupChange,
    by_category,
    by_concept,
    category_groups,
    changes,
    extremes,
    kind_scores,
)
from easynlp_fashionklip.evaluation.comparison import Comparison
from easynlp_fashionklip.evaluation.measures import ProtocolRun
from easynlp_fashionklip.evaluation.resampling import FEW_CLUSTERS, LEAST_CLUSTERS, clusters_of
from easynlp_fashionklip.evaluation.run_folder import SavedRun

LISTED = 12
MOST_CATEGORIES = 30
_FACTS = {
    "hit_rule": "a hit is",
    "gallery": "searched",
    "queries": "queries",
    "negatives": "negatives a query",
    "redraws": "redraws",
    "seed": "seed",
    "tie_rule": "ties",
    "products": "products in the table",
    "relevant_products_a_query": "relevant products a query",
    "prompt": "prompt",
    "labels": "labels",
    "pictures_without_label": "pictures without a label, left out",
    "candidates_with_the_same_text": "negatives with the very text of the query's own pair",
}
_TIMES = ("seconds encoding", "seconds measuring")


@dataclass(frozen=True)
class Table:
    """A table of text cells; the first column names the row. `bars` gives a share in [0, 1] of each row to be drawn."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    bars: Sequence[float] = ()


def facts_table(saved: SavedRun) -> Table:
    """How the numbers were taken."""
    facts = saved.run.facts
    rows = [(label, _plain(facts[name])) for name, label in _FACTS.items() if name in facts]
    if facts.get("negatives"):
        rows.append(
            (
                "filled from other sub-categories",
                f"{facts['queries_filled']:,} of {facts['queries_drawn']:,} lists, "
                f"{facts['negatives_from_other_categories']:,} negatives in all",
            )
        )
    rows += [(name.replace("_", " "), _plain(value)) for name, value in saved.provenance.items()]
    return Table("How it was measured", ("", ""), rows)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def scores_table(saved: SavedRun) -> Table:
    """Every measure with its interval, and its spread over redraws where there are some."""
    run, spread = saved.run, saved.run.spread
    header = ["measure", "value", "95 % interval", *(["s.d. over redraws"] if spread else [])]
    rows = []
    for name, score in run.scores.items():
        ends = saved.intervals.get(name)
        cells = [name, f"{score:.2f}", f"{ends[0]:.2f} to {ends[1]:.2f}" if ends else ""]
        rows.append([*cells, *([f"{spread[name]:.2f}"] if spread else [])])
    note = (
        "In percent; meanR and medR are ranks. The interval is a bootstrap over products (over query texts in a "
        "search): it says how far the number depends on which products happen to be in the table, not on the training "
        "seed." + _few(run)
    )
    return Table("Scores", header, rows, note)


def _few(run: ProtocolRun) -> str:
    """What is to be said of an interval where there is little to draw from."""
    count = clusters_of(run)
    if count >= FEW_CLUSTERS:
        return ""
    left = "too few for an interval" if count < LEAST_CLUSTERS else "so few that it is narrower than it should be"
    return f" Here there are {count}, {left}."


def kinds_table(run: ProtocolRun) -> Table | None:
    """Search measures by kind of query."""
    kinds = kind_scores(run)
    if not kinds:
        return None
    names = list(next(iter(kinds.values()))[1])
    rows = [[kind, f"{count:,}", *(f"{means[name]:.1f}" for name in names)] for kind, (count, means) in kinds.items()]
    return Table("By kind of query", ["kind", "queries", *names], rows)


def categories_table(run: ProtocolRun) -> Table | None:
    """Each category's score, the largest categories first."""
    groups = by_category(run)
    if len(groups) < 2:
        return None
    shown = groups[:MOST_CATEGORIES]
    left = f" The {len(shown)} largest of {len(groups)} groups." if len(groups) > len(shown) else ""
    rows = [[group.name, f"{group.score:.1f}", f"{group.queries:,}"] for group in shown]
    bars = [group.score / 100 for group in shown]
    return Table(_groups_title(run), ["group", "score", "queries"], rows, own_score_note(run) + left, bars)


def _groups_title(run: ProtocolRun) -> str:
    """Search queries have no categories, only kinds."""
    return "By category" if any(query.category for query in run.queries) else "Score by kind of query"


def own_score_note(run: ProtocolRun) -> str:
    """What the score of a group is."""
    if len(run.primary) == 1:
        return f"Score: the mean {run.primary[0]} of the group's queries, in percent."
    return "Score: the mean of R@1, R@5 and R@10 of both directions over the group's queries, in percent."


def concept_tables(saved: SavedRun) -> list[Table]:
    """The concepts with the best and the worst scores."""
    if saved.concepts is None:
        return []
    groups = by_concept(saved.run, saved.concepts)
    best, worst = extremes(groups, LISTED)
    note = own_score_note(saved.run) + f" Of {len(groups):,} concepts that at least five queries mention."
    if not groups:
        return [Table("Concepts", ["concept", "score", "queries"], [], "No concept is mentioned by five queries.")]
    tables = (("Concepts that go best", best), ("Concepts that go worst", worst))
    return [_concepts(title, found, note) for title, found in tables if found]


def _concepts(title: str, groups: Sequence[Group], note: str) -> Table:
    rows = [[group.name, f"{group.score:.1f}", f"{group.queries:,}"] for group in groups]
    return Table(title, ["concept", "score", "queries"], rows, note, [group.score / 100 for group in groups])


def differences_table(comparison: Comparison) -> Table:
    """Every measure of both runs."""
    rows = [
        [
            name,
            f"{one.first:.2f}",
            f"{one.second:.2f}",
            f"{one.difference:+.2f}",
            "" if math.isnan(one.low) else f"{one.low:+.2f} to {one.high:+.2f}",
            f"{one.p:.4f}",
        ]
        for name, one in comparison.differences.items()
    ]
    note = (
        "Second minus first; in percent, meanR and medR in ranks, where less is better. Interval: paired bootstrap, "
        f"{comparison.resamples:,} resamples. p: paired permutation test, two-sided, {comparison.permutations:,} "
        "permutations, uncorrected: many measures are tested here, and they go together. Both look at one pair of "
        "models; they say nothing about other training seeds." + _few(comparison.first.run)
    )
    return Table("Difference", ["measure", "first", "second", "difference", "95 % interval", "p"], rows, note)


def sides_tables(comparison: Comparison) -> tuple[Table, Table]:
    """What is different about how the two runs were measured, and what is the same."""
    sides = (comparison.first, comparison.second)
    first, second = ({row[0]: row[1] for row in facts_table(side).rows} for side in sides)
    same = [(name, value) for name, value in first.items() if second.get(name) == value and name not in _TIMES]
    other = [name for name in {**first, **second} if first.get(name) != second.get(name) and name not in _TIMES]
    rows = [("folder", *(side.origin for side in sides))]
    rows += [(name, first.get(name, ""), second.get(name, "")) for name in other]
    return Table("Runs", ("", "first", "second"), rows), Table("How both were measured", ("", ""), same)


def change_tables(changed: Sequence[GroupChange], note: str) -> list[Table]:
    """Concepts that gained and lost most."""
    gained = [one for one in changed if one.difference > 0][:LISTED]
    lost = [one for one in reversed(changed) if one.difference < 0][:LISTED]
    sure = sum(one.q <= LEVEL for one in changed)
    note += (
        f" Of {len(changed):,} concepts in queries about at least {MIN_CLUSTERS} products (or with as many texts), "
        f"{sure:,} changed with q <= {LEVEL} (p corrected for their number); with many concepts the ends of such a "
        "list are largely chance, so read q."
    )
    return [_changes("Concepts that gained most", gained, note), _changes("Concepts that lost most", lost, note)]


def category_changes_table(comparison: Comparison) -> Table | None:
    """Each category in both runs, the largest categories first."""
    first, second = comparison.first.run, comparison.second.run
    found = changes(first, second, category_groups(first), seed=comparison.seed)
    shown = sorted(found, key=lambda change: (-change.queries, change.name))[:MOST_CATEGORIES]
    note = own_score_note(first) + (
        f" The {len(shown)} largest of {len(found)} groups with queries about at least {MIN_CLUSTERS} products (or "
        "with as many texts). q: p of a permutation test, corrected for the number of groups."
    )
    return _changes(_groups_title(first), shown, note, "group") if len(shown) > 1 else None


def _changes(title: str, found: Sequence[GroupChange], note: str, named: str = "concept") -> Table:
    rows = [
        [
            one.name,
            f"{one.before:.1f}",
            f"{one.after:.1f}",
            f"{one.difference:+.1f}",
            f"{one.queries:,}",
            f"{one.q:.3f}",
        ]
        for one in found
    ]
    return Table(title, [named, "first", "second", "difference", "queries", "q"], rows, note)


def recall_curves(run: ProtocolRun, longest: int = 50) -> dict[str, list[tuple[float, float]]]:
    """(k, share of queries in percent with a hit among the first k) for each set of queries with ranks."""
    curves = {}
    for name, measure in run.measures.items():
        if measure.statistic == "median":
            ranks = run.values[name]
            curves[measure.asked] = [(float(k), 100 * float(np.mean(ranks <= k))) for k in range(1, longest + 1)]
    return curves
