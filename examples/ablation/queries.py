"""Where a row's gain in search comes from and how sure it is: by kind of query, by training texts, by seed.

    python examples/ablation/queries.py --data PATH/TO/hm PATH/TO/myntra --results examples/ablation/results

Of the results of run.py on these catalogues, row `--row` against `--against`, over the seeds that both have. A query is
*in training texts* if one of train.csv's captions holds its words side by side. Its category is that of most of its
products (`--category`, a column of test.csv). The last interval draws categories instead of queries: queries of one
category ("blazer", "beige blazer") share products, so that intervals over queries are too narrow.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from results import load
from rows import BASELINE, ROWS
from table import averaged, interval, shown
from training import digest_of_tables

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.table import Catalogue
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.measures import ProtocolRun
from easynlp_fashionklip.evaluation.queries import SearchQuery, read_queries
from easynlp_fashionklip.evaluation.resampling import compare
from easynlp_fashionklip.evaluation.search_protocols import SEARCHED

MEASURES = {"retrieval": "mean_recall", "search": "mAP"}


def main() -> None:
    """What the program's description says; bad input is told in a sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of catalogues")
    parser.add_argument("--results", type=Path, required=True, help="folder of <catalogue>.parquet")
    parser.add_argument("--row", choices=list(ROWS), default="default")
    parser.add_argument("--against", choices=list(ROWS), default=BASELINE)
    parser.add_argument("--category", default="category", help="column of test.csv")
    options = parser.parse_args()
    try:
        for data in options.data:
            print(f"\n**{data.resolve().name}**\n\n{report(data, options)}", flush=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def report(data: Path, options: argparse.Namespace) -> str:
    """One catalogue's table, and the gains of each seed below it.

    Raises:
        InputError: the catalogue is not the one of the results, or these lack one of the rows.
    """
    before, after, seeds = runs_of(data, options)
    table = open_catalogue(data / "test.csv")
    rows = [table.row(i) for i in range(len(table))]
    if options.category not in rows[0]:
        raise InputError(f"{data / 'test.csv'} has no column {options.category!r}; name one with --category.")
    queries = read_queries(data / "test_queries.jsonl", [row["product_id"] for row in rows])
    first, second = (averaged([run["search"] for run in runs]) for runs in (before, after))
    categories = categories_of(queries, {row["product_id"]: row[options.category] for row in rows})
    lines = [f"| queries | number | {options.against} | {options.row} | difference | drawing categories |"]
    lines.append("|---|---|---|---|---|---|")
    lines += [
        line(name, chosen, first, second, categories)
        for name, chosen in groups(queries, open_catalogue(data / "train.csv")).items()
    ]
    for protocol, measure in MEASURES.items():
        gains = (
            f"{new[protocol].scores[measure] - old[protocol].scores[measure]:+.1f}"
            for old, new in zip(before, after, strict=True)
        )
        lines.append(f"\n{measure}, seeds {', '.join(map(str, seeds))}: {', '.join(gains)}")
    return "\n".join(lines)


def runs_of(
    data: Path, options: argparse.Namespace
) -> tuple[list[dict[str, ProtocolRun]], list[dict[str, ProtocolRun]], list[int]]:
    """Both rows' runs of the seeds that both have, and those seeds."""
    path = options.results / f"{data.resolve().name}.parquet"
    found = load(path)
    seeds = [seed for row, seed in sorted(found) if row == options.row and (options.against, seed) in found]
    if not seeds:
        raise InputError(f"{path} has no seed of both rows, {options.row} and {options.against}; run them first.")
    digest = digest_of_tables(data)
    if any(found[row, seed].tables != digest for row in (options.row, options.against) for seed in seeds):
        raise InputError(f"{path} is of other tables than those in {data}; give the catalogue it was made from.")
    before, after = ([dict(found[row, seed].runs) for seed in seeds] for row in (options.against, options.row))
    return before, after, seeds


def groups(queries: Sequence[SearchQuery], training: Catalogue) -> dict[str, np.ndarray]:
    """Names of groups of queries, and which belong to each: bool (Q,)."""
    kinds = np.array([query.kind for query in queries])
    known = in_texts([query.text for query in queries], [training.row(i)["caption"] for i in range(len(training))])
    named = {"all": np.ones(len(queries), bool)} | {kind: kinds == kind for kind in dict.fromkeys(kinds.tolist())}
    return named | {"in training texts": known, "in none of them": ~known}


def in_texts(phrases: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    """Whether one of the texts holds a phrase's words side by side, punctuation and case aside: bool (n,)."""
    joined = "\n".join(" " + " ".join(words_of(text)) + " " for text in texts)
    return np.array([f" {' '.join(words_of(phrase))} " in joined for phrase in phrases], bool)


def words_of(text: str) -> list[str]:
    """Letters and digits that stand together, in lower case."""
    return re.findall(r"\w+", text.casefold())


def categories_of(queries: Sequence[SearchQuery], category: dict[str, str]) -> np.ndarray:
    """The number of each query's category: int64 (Q,)."""
    names = [Counter(sorted(category[item] for item in query.item_ids)).most_common(1)[0][0] for query in queries]
    return np.unique(names, return_inverse=True)[1]


def line(name: str, chosen: np.ndarray, first: ProtocolRun, second: ProtocolRun, categories: np.ndarray) -> str:
    """Both values of mAP over the chosen queries, the difference with its interval, the interval over categories."""
    if not chosen.any():
        return f"| {name} | 0 | – | – | – | – |"
    parts = [part_of(run, chosen, run.clusters[SEARCHED][chosen]) for run in (first, second)]
    by_query = compare(*parts)["mAP"]
    by_category = compare(*(part_of(run, chosen, categories[chosen]) for run in (first, second)))["mAP"]
    cells = [name, str(int(chosen.sum())), f"{by_query.first:.1f}", f"{by_query.second:.1f}", shown(by_query)]
    return "| " + " | ".join([*cells, interval(by_category)]) + " |"


def part_of(run: ProtocolRun, chosen: np.ndarray, clusters: np.ndarray) -> ProtocolRun:
    """A search of some of its queries, with what is drawn together."""
    values = {name: values[chosen] for name, values in run.values.items()}
    rows = {SEARCHED: run.rows[SEARCHED][chosen]}
    return replace(run, rows=rows, clusters={SEARCHED: clusters}, values=values)


if __name__ == "__main__":
    main()
