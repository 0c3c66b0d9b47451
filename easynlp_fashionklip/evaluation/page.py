"""Reports of runs and comparisons: one HTML page that needs nothing else, and the same tables as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib import resources

from easynlp_fashionklip.evaluation.breakdown import changes
from easynlp_fashionklip.evaluation.comparison import Comparison
from easynlp_fashionklip.evaluation.run_folder import SavedRun
from easynlp_fashionklip.evaluation.svg_charts import Series, line_chart
from easynlp_fashionklip.evaluation.tables import (
    Table,
    categories_table,
    category_changes_table,
    change_tables,
    concept_tables,
    differences_table,
    facts_table,
    kinds_table,
    own_score_note,
    recall_curves,
    scores_table,
    sides_tables,
)
from easynlp_fashionklip.evaluation.worst import Retrieved, WorstQuery

Thumbnail = Callable[[int], str | None]
ASKED = {
    "image_to_text": "picture to text",
    "text_to_image": "text to picture",
    "search": "search",
    "picture": "picture to label",
}
_SHOWN_TEXT = 160


def run_tables(saved: SavedRun) -> list[Table]:
    """Every table of a run's report."""
    optional = [kinds_table(saved.run), categories_table(saved.run)]
    return [scores_table(saved), *(one for one in optional if one), *concept_tables(saved), facts_table(saved)]


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Every table of a comparison's report."""
    concepts = comparison.second.concepts or comparison.first.concepts
    changed = []
    if concepts is not None:
        found = changes(comparison.first.run, comparison.second.run, concepts, seed=comparison.seed)
        changed = change_tables(found, own_score_note(comparison.first.run))
    runs, measured = sides_tables(comparison)
    categories = category_changes_table(comparison)
    between = [*([categories] if categories else []), *changed]
    return [differences_table(comparison), *between, runs, measured]


# ---- Markdown


def markdown(title: str, tables: Sequence[Table], worst: Sequence[WorstQuery] = ()) -> str:
    """Tables, and the worst queries in words."""
    parts = [f"# {_cell(title)}", *(_markdown_table(table) for table in tables)]
    if worst:
        parts.append("## Worst queries\n\n" + "\n\n".join(_markdown_query(query) for query in worst))
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    lines = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in (table.header, *table.rows)]
    lines.insert(1, "|" + "---|" * len(table.header))
    note = f"{_cell(table.note)}\n\n" if table.note else ""
    return f"## {table.title}\n\n{note}" + "\n".join(lines)


def _markdown_query(query: WorstQuery) -> str:
    found = [
        f"{n}. {'**hit** ' if one.hit else ''}{_cell(_short(one.text))} ({one.similarity:.3f})"
        for n, one in enumerate(query.retrieved, 1)
    ]
    return f"{ASKED[query.asked]}: {_cell(_short(query.text))} - {_cell(query.outcome)}\n\n" + "\n".join(found)


def _cell(text: str) -> str:
    """One line that ends no cell and opens no HTML."""
    return " ".join(str(text).split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_TEXT else text[: _SHOWN_TEXT - 1] + "\u2026"


# ---- HTML


def run_page(saved: SavedRun, worst: Sequence[WorstQuery] = (), thumbnail: Thumbnail = lambda row: None) -> str:
    """The page of a run; `thumbnail` gives base64 of a JPEG for a row of the table, or None."""
    tables = run_tables(saved)
    curves = recall_curves(saved.run)
    sections = [_table(tables[0]), _curves([(ASKED[name], points) for name, points in curves.items()])]
    sections += [_table(table) for table in tables[1:-1]]
    sections += [_worst(worst, thumbnail), _table(tables[-1], "facts")]
    return _page(run_title(saved), sections)


def comparison_page(comparison: Comparison) -> str:
    """The page of a comparison."""
    tables = comparison_tables(comparison)
    runs = [("first", comparison.first.run), ("second", comparison.second.run)]
    curves = [(f"{side}, {ASKED[name]}", points) for side, run in runs for name, points in recall_curves(run).items()]
    sections = [_table(tables[0]), _curves(curves), *(_table(table) for table in tables[1:-2])]
    sections += [_table(table, "facts") for table in tables[-2:]]
    return _page(comparison_title(comparison), sections)


def run_title(saved: SavedRun) -> str:
    """What the report is of."""
    model, table = saved.provenance.get("checkpoint", saved.origin), saved.provenance.get("table", "")
    return f"{saved.run.protocol}: {model} on {table}"


def comparison_title(comparison: Comparison) -> str:
    """What the report is of."""
    return f"{comparison.first.run.protocol}: {comparison.second.origin} against {comparison.first.origin}"


def _page(title: str, sections: Iterable[str]) -> str:
    style = resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style></head><body><main><header><h1>{escape(title)}</h1></header>"
        f"{''.join(sections)}</main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _table(table: Table, style: str = "") -> str:
    bars: Sequence[float | None] = table.bars or [None] * len(table.rows)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header) + ("<th></th>" if table.bars else "")
    rows = "".join(_row(row, bar) for row, bar in zip(table.rows, bars, strict=True))
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    body = f'<table class="{style}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return _section(table.title, f'{note}<div class="scroll">{body}</div>')


def _row(cells: Sequence[str], bar: float | None) -> str:
    name, *others = cells
    drawn = "" if bar is None else f'<td class="bar"><i style="width:{100 * min(max(bar, 0), 1):.1f}%"></i></td>'
    return f"<tr><th>{escape(str(name))}</th>{''.join(f'<td>{escape(str(one))}</td>' for one in others)}{drawn}</tr>"


def _curves(curves: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> str:
    if not curves:
        return ""
    series = [Series(name, number % 4 + 1, points) for number, (name, points) in enumerate(curves)]
    chart = line_chart(series, title="Queries with a hit among the first k", x_label="k", y_label="percent", y_max=100)
    return _section("Recall curves", chart)


def _worst(worst: Sequence[WorstQuery], thumbnail: Thumbnail) -> str:
    if not worst:
        return ""
    note = '<p class="note">The queries that went worst, and what came up instead; chosen for that, not typical.</p>'
    return _section("Worst queries", note + "".join(_query(query, thumbnail) for query in worst))


def _query(query: WorstQuery, thumbnail: Thumbnail) -> str:
    cards = []
    if query.row is not None:
        cards.append(_card("", "<b>asks</b>", "", query.row, thumbnail))
    if query.wanted is not None and query.wanted != query.row:
        cards.append(_card("", "<b>wanted</b>", "", query.wanted, thumbnail))
    cards += [_retrieved(number, one, thumbnail) for number, one in enumerate(query.retrieved, start=1)]
    return (
        f"<h3>{escape(ASKED[query.asked])}: {escape(_short(query.text))}</h3>"
        f'<p class="note">{escape(query.outcome)}</p>'
        f'<div class="cards">{"".join(cards)}</div>'
    )


def _retrieved(number: int, one: Retrieved, thumbnail: Thumbnail) -> str:
    mark = "hit" if one.hit else "miss"
    words = f"<b>{number}. {mark}</b> {one.similarity:.3f}"
    return _card(mark, words, one.text, one.row, thumbnail)


def _card(style: str, words: str, text: str, row: int | None, thumbnail: Thumbnail) -> str:
    encoded = None if row is None else thumbnail(row)
    picture = f'<img src="data:image/jpeg;base64,{encoded}" alt="{escape(_short(text))}">' if encoded else ""
    below = f"<br>{escape(_short(text))}" if text else ""
    return f'<figure class="card {style}">{picture}<figcaption>{words}{below}</figcaption></figure>'
