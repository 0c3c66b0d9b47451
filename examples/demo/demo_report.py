"""The demo's report: one HTML file that needs nothing else, pictures and charts inside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from easynlp_fashionklip.evaluation.svg_charts import Series, line_chart

STYLE = Path(__file__).with_name("demo_report.css")
DIRECTIONS = {"image_to_text": "picture to text", "text_to_image": "text to picture"}
MEASURES = ("R@1", "R@5", "R@10", "MRR")
Scores = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """A JPEG and what it is called."""

    jpeg: bytes
    caption: str


@dataclass(frozen=True)
class Found:
    """One picture that a query brought up; `hit` when the catalogue's truth says it answers the query."""

    picture: Picture
    similarity: float
    hit: bool


@dataclass(frozen=True)
class QueryResult:
    """A query, how many products of the gallery answer it, and its nearest pictures in order."""

    text: str
    relevant: int
    found: Sequence[Found]


@dataclass(frozen=True)
class ConceptNode:
    """A concept of the graph's excerpt with some prototypes and some of its kinds; `others` counts kinds left out."""

    phrase: str
    frequency: int
    prototypes: Sequence[Picture]
    kinds: Sequence[ConceptNode] = ()
    others: int = 0


@dataclass(frozen=True)
class Stage:
    """One step of the demo: what it does, the command line, seconds it took."""

    name: str
    command: str
    seconds: float


@dataclass(frozen=True)
class DemoContent:
    """Everything the report shows.

    Attributes:
        history: records of `<checkpoint_dir>/log/metrics.jsonl`.
        before, after: `evaluation.json` of the untrained and the trained model on the test split.
        queries: search results of the trained model.
        query_hits: share of *all* queries, in percent, with a right picture first, and among the first five.
        concepts: roots of the graph's excerpt.
        summary: facts about catalogue, graph and model, in order.
        samples: some products with their captions.
        stages: the commands in order.
    """

    history: Sequence[Mapping[str, float]]
    before: Scores
    after: Scores
    queries: Sequence[QueryResult]
    query_hits: tuple[int, float, float]
    concepts: Sequence[ConceptNode]
    summary: Mapping[str, str]
    samples: Sequence[Picture]
    stages: Sequence[Stage]


def build_report(content: DemoContent) -> str:
    """The whole page."""
    sections = [
        _section("Retrieval before and after", _evaluation(content)),
        _section("Training", _curves(content.history)),
        _section("Searching with words", _queries(content)),
        _section("A piece of the concept graph", _concepts(content.concepts)),
        _section("Catalogue", _catalogue(content)),
        _section("Commands", _commands(content.stages)),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>FashionKLIP demo</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body><main>"
        "<header><h1>FashionKLIP demo</h1><p>A catalogue drawn by the program, its concept graph, and a dual encoder "
        "trained on both with image-text contrast (ITC) and concept-visual alignment (CVA), all in a few minutes on a "
        "CPU. Numbers on drawn pictures say that the machinery works, not how well it does on a real shop.</p>"
        f"{_tiles(content)}</header>{''.join(sections)}</main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _image(picture: Picture) -> str:
    data = base64.b64encode(picture.jpeg).decode("ascii")
    caption = escape(picture.caption, quote=True)
    return f'<img src="data:image/jpeg;base64,{data}" alt="{caption}" title="{caption}">'


# ------------------------------------------------------------------------------------------------------------- numbers


def _tiles(content: DemoContent) -> str:
    total, first, five = content.query_hits
    before, after = content.before["mean_recall"], content.after["mean_recall"]
    tiles = [
        (f"{before:.1f} &rarr; {after:.1f}", "mean recall on the test split, percent"),
        (f"{first:.0f} %", f"of {total} search queries find a right picture first"),
        (f"{five:.0f} %", "find one among the first five"),
        (_duration(sum(stage.seconds for stage in content.stages)), "for everything below"),
    ]
    return f'<div class="tiles">{"".join(f"<div><b>{value}</b>{escape(what)}</div>" for value, what in tiles)}</div>'


def _duration(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s" if seconds >= 60 else f"{seconds:.0f} s"


def _evaluation(content: DemoContent) -> str:
    rows = [
        _row(f"{label}, {measure}", content.before, content.after, f"{direction}_{measure}")
        for direction, label in DIRECTIONS.items()
        for measure in MEASURES
    ]
    rows.append(_row("mean recall (of the six R@K)", content.before, content.after, "mean_recall", "sum"))
    gallery, rule = content.after["gallery_size"], escape(str(content.after["hit_rule"]))
    return (
        f"<p>Test split, full gallery of {gallery} pairs; a hit is {rule}; percent. Before training the image and "
        "text towers have never met (their projections are random), so the first column is chance.</p>"
        '<div class="scroll"><table><thead><tr><th></th><th>before</th><th>after</th><th>gain</th></tr></thead><tbody>'
        f"{''.join(rows)}</tbody></table></div>"
    )


def _row(label: str, before: Scores, after: Scores, key: str, style: str = "") -> str:
    old, new = float(before[key]), float(after[key])
    cells = "".join(f"<td>{value}</td>" for value in (f"{old:.2f}", f"{new:.2f}", f"{new - old:+.2f}"))
    return f'<tr class="{style}"><th>{escape(label)}</th>{cells}</tr>'


def _curves(history: Sequence[Mapping[str, float]]) -> str:
    losses = [
        Series("ITC", 1, _points(history, "train/itc_loss")),
        Series("CVA", 2, _points(history, "train/cva_loss")),
        Series("total", 3, _points(history, "train/loss")),
    ]
    recalls = [
        Series("mean recall", 1, _points(history, "eval/mean_recall")),
        Series("picture to text R@1", 2, _points(history, "eval/image_to_text_R@1")),
        Series("text to picture R@1", 3, _points(history, "eval/text_to_image_R@1")),
    ]
    weight = [Series("w", 1, _points(history, "train/cva_weight"))]
    charts = [
        line_chart(losses, title="Losses", x_label="step", y_label="nats, mean over the batch"),
        line_chart(recalls, title="Recall on the validation split", x_label="step", y_label="percent", y_max=100),
        line_chart(weight, title="Weight w of CVA", x_label="step", y_label="in (1-w) ITC + w CVA"),
    ]
    return f'<div class="charts">{"".join(charts)}</div>'


def _points(history: Sequence[Mapping[str, float]], key: str) -> list[tuple[float, float]]:
    return [(record["step"], record[key]) for record in history if key in record]


# ------------------------------------------------------------------------------------------------------------ pictures


def _queries(content: DemoContent) -> str:
    total, first, five = content.query_hits
    intro = (
        f"<p>Ten of the test split's {total} queries, taken at even distances from those that at least two products "
        f"answer, with the five nearest test pictures. Over all queries {first:.1f} % find a right picture first and "
        f"{five:.1f} % among the first five. The truth comes from the attributes the pictures were drawn from.</p>"
    )
    return intro + "".join(_query(query) for query in content.queries)


def _query(query: QueryResult) -> str:
    hits = sum(found.hit for found in query.found)
    cards = "".join(_found(rank, found) for rank, found in enumerate(query.found, start=1))
    possible = min(query.relevant, len(query.found))
    return (
        f'<div class="query"><h3>{escape(query.text)}</h3><p class="note">{hits} of {possible} possible hits; '
        f'{query.relevant} products answer it</p><div class="cards">{cards}</div></div>'
    )


def _found(rank: int, found: Found) -> str:
    mark = "hit" if found.hit else "miss"
    return (
        f'<figure class="card {mark}">{_image(found.picture)}<figcaption><b>{rank}. {mark}</b> '
        f"{found.similarity:.2f}<br>{escape(found.picture.caption)}</figcaption></figure>"
    )


def _concepts(nodes: Sequence[ConceptNode]) -> str:
    return (
        "<p>Concepts mined from the captions, ordered by <em>is a</em>: each is a kind of the one it is indented "
        "under. Beside it the number of products that mention it, and visual prototypes: pictures near to its prompt "
        "under the trained encoder, kept apart by maximal marginal relevance.</p>"
        f'<ul class="tree">{"".join(_concept(node) for node in nodes)}</ul>'
    )


def _concept(node: ConceptNode) -> str:
    pictures = "".join(_image(picture) for picture in node.prototypes)
    kinds = "".join(_concept(kind) for kind in node.kinds)
    if node.others:
        kinds += f'<li class="note">and {node.others} more kinds</li>'
    below = f"<ul>{kinds}</ul>" if kinds else ""
    return (
        f'<li><div class="concept"><div><b>{escape(node.phrase)}</b><span class="note">{node.frequency} products</span>'
        f'</div><div class="strip">{pictures}</div></div>{below}</li>'
    )


def _catalogue(content: DemoContent) -> str:
    facts = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in content.summary.items())
    cards = "".join(
        f'<figure class="card">{_image(one)}<figcaption>{escape(one.caption)}</figcaption></figure>'
        for one in content.samples
    )
    table = f'<div class="scroll"><table class="facts"><tbody>{facts}</tbody></table></div>'
    return f'{table}<div class="cards">{cards}</div>'


def _commands(stages: Sequence[Stage]) -> str:
    return "".join(
        f"<h3>{escape(stage.name)} <span class='note'>{_duration(stage.seconds)}</span></h3>"
        f"<pre>{escape(stage.command)}</pre>"
        for stage in stages
    )
