"""`fashionklip evaluate`: a protocol of the literature on a table, and two runs of one beside each other."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easynlp_fashionklip.errors import InputError

if TYPE_CHECKING:
    from easynlp_fashionklip.evaluation.comparison import Comparison
    from easynlp_fashionklip.evaluation.run_folder import SavedRun

_OF_RUNS = ("protocol", "checkpoint", "tables", "text", "image", "out")
_OF_COMPARISONS = ("compare", "out", "seed", "action")
_PROTOCOLS = (
    "fashiongen.full.v1, fashiongen.sample.v1, fashionsap.sample.v1, product_search.v1, "
    "marqo.category_to_product.v1 or zero_shot.v1"
)


def add_command(parser: argparse.ArgumentParser) -> None:
    """Give a parser the flags of `fashionklip evaluate`."""
    parser.add_argument("--protocol", metavar="NAME", help=_PROTOCOLS)
    parser.add_argument("--checkpoint", help="zoo name, checkpoint folder or hub name")
    parser.add_argument("--tables", metavar="FILE", help="the table that is searched: CSV, or TSV with --input_schema")
    parser.add_argument("--text", help="its column of the texts")
    parser.add_argument("--image", help="its column of the pictures")
    parser.add_argument("--product_id", help="its column of the product ids; found if it is product_id or id")
    parser.add_argument(
        "--category", help="its column of sub-categories or labels; found if it is category or input_subcategory"
    )
    parser.add_argument("--input_schema", help="EasyNLP schema of a TSV, for example text:str:1,image:str:1")
    parser.add_argument("--queries", type=Path, help="JSON lines with query_id, query_text, item_ids")
    parser.add_argument("--prompt", default="", help="of a label (zero_shot.v1); default 'a photo of a {label}'")
    parser.add_argument("--graph", type=Path, help="folder of a concept graph: scores by concept in the report")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    parser.add_argument("--image_size", type=int, default=0, help="side in pixels; 0 keeps the model's own")
    parser.add_argument(
        "--clip_activation", default="auto", choices=("auto", "gelu", "quick_gelu"), help="of OpenAI-layout weights"
    )
    parser.add_argument("--trust_pickle", action="store_true", help="run the program that a file of weights holds")
    parser.add_argument(
        "--spacy_model", default="", help="pipeline that finds concepts in texts; '' is the trained one"
    )
    parser.add_argument("--batch_size", type=int, default=128, help="pictures or texts encoded at a time")
    parser.add_argument(
        "--on_bad_row",
        choices=("fatal", "skip"),
        default="fatal",
        help="stop at a bad row, or name it and leave it out",
    )
    parser.add_argument("--workers", type=int, default=-1, help="processes that decode pictures; -1 chooses by cores")
    parser.add_argument("--out", type=Path, help="folder to write; must not hold anything else")
    parser.add_argument("--compare", nargs=2, type=Path, metavar="RUN", help="two --out folders of earlier runs")
    parser.set_defaults(action=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> None:
    for name, least in (("seed", 0), ("batch_size", 1), ("workers", -1), ("image_size", 0)):
        if getattr(arguments, name) < least:
            raise InputError(f"--{name}={getattr(arguments, name)} is too small; give {least} or more.")
    if arguments.compare:
        _compare(arguments)
        return
    missing = [name for name in _OF_RUNS if not getattr(arguments, name)]
    if missing:
        flags = ", ".join(f"--{name}" for name in missing)
        raise InputError(f"{flags} must be given too: 'fashionklip evaluate --help' says what it is.")
    from easynlp_fashionklip.graph.export.output import new_folder

    with new_folder(arguments.out) as folder:
        text = _run(arguments, folder)
    sys.stdout.write(
        f"{text}written to {arguments.out}: evaluation.json, report.html, report.md and the queries' own values\n"
    )


def _run(arguments: argparse.Namespace, folder: Path) -> str:
    """Measure into an existing folder; what is to be told when that is done."""
    from easynlp_fashionklip.cli.evaluation_run import Evaluation
    from easynlp_fashionklip.evaluation.page import markdown, run_page, run_tables, run_title
    from easynlp_fashionklip.evaluation.run_folder import write_run
    from easynlp_fashionklip.evaluation.thumbnails import thumbnail

    evaluation = Evaluation(arguments)
    saved, worst = evaluation.run()
    write_run(folder, saved)
    page = run_page(saved, worst, lambda row: thumbnail(evaluation.table, row))
    (folder / "report.html").write_text(page, encoding="utf-8")
    (folder / "report.md").write_text(markdown(run_title(saved), run_tables(saved), worst), encoding="utf-8")
    return _scores_text(saved)


def _scores_text(saved: SavedRun) -> str:
    from easynlp_fashionklip.evaluation.page import run_title
    from easynlp_fashionklip.evaluation.tables import facts_table, scores_table

    scores, facts = scores_table(saved), facts_table(saved)
    lines = [run_title(saved), *_columns([scores.header, *scores.rows])]
    lines += [f"{row[0]}: {row[1]}" for row in facts.rows if row[0] not in saved.provenance]
    return "\n".join(lines) + "\n"


def _columns(rows: list[Any]) -> list[str]:
    """Rows of cells as lines of text, the first column to the left."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if n else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _compare(arguments: argparse.Namespace) -> None:
    flags = argparse.ArgumentParser()  # parsed without any, it has the defaults
    add_command(flags)
    given = [
        name
        for name, value in vars(flags.parse_args([])).items()
        if name not in _OF_COMPARISONS and getattr(arguments, name) != value
    ]
    if given:
        raise InputError(f"--compare reads two finished runs, so --{given[0]} does not go with it; leave it out.")
    from easynlp_fashionklip.evaluation.comparison import check_comparable, compare_runs
    from easynlp_fashionklip.evaluation.run_folder import read_run
    from easynlp_fashionklip.graph.export.output import new_folder

    first, second = (read_run(folder) for folder in arguments.compare)
    check_comparable(first, second)
    if arguments.out is None:
        sys.stdout.write(_comparison_text(compare_runs(first, second, seed=arguments.seed)))
        return
    with new_folder(arguments.out) as folder:
        comparison = compare_runs(first, second, seed=arguments.seed)
        _write_comparison(comparison, folder)
    sys.stdout.write(_comparison_text(comparison))
    sys.stdout.write(f"written to {arguments.out}: comparison.json, report.html, report.md\n")


def _comparison_text(comparison: Comparison) -> str:
    from easynlp_fashionklip.evaluation.page import comparison_title
    from easynlp_fashionklip.evaluation.tables import differences_table, sides_tables

    table, (runs, measured) = differences_table(comparison), sides_tables(comparison)
    lines = [comparison_title(comparison), *_columns([table.header, *table.rows])]
    lines += [f"{row[0]}: {row[1]} | {row[2]}" for row in runs.rows]
    return "\n".join([*lines, *(f"{row[0]}: {row[1]}" for row in measured.rows), ""])


def _write_comparison(comparison: Comparison, folder: Path) -> None:
    import json

    from easynlp_fashionklip.evaluation.page import comparison_page, comparison_tables, comparison_title, markdown

    (folder / "comparison.json").write_text(json.dumps(comparison.as_dict(), indent=2) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(comparison_page(comparison), encoding="utf-8")
    text = markdown(comparison_title(comparison), comparison_tables(comparison))
    (folder / "report.md").write_text(text, encoding="utf-8")
