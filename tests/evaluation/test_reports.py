"""Runs on disk and their reports: whole, readable by others, honest about what was measured."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.comparison import compare_runs
from easynlp_fashionklip.evaluation.gallery import PairGallery
from easynlp_fashionklip.evaluation.measures import ProtocolRun
from easynlp_fashionklip.evaluation.page import comparison_page, comparison_tables, markdown, run_page, run_tables
from easynlp_fashionklip.evaluation.pair_protocols import SAMPLE, full_gallery, sampled
from easynlp_fashionklip.evaluation.resampling import intervals
from easynlp_fashionklip.evaluation.run_folder import SavedRun, as_dict, concepts_from, read_run, write_run
from easynlp_fashionklip.evaluation.sampling import SamplingRule
from easynlp_fashionklip.evaluation.thumbnails import thumbnail
from easynlp_fashionklip.evaluation.worst import worst_pairs

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects addresses and checks that tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"


def saved(run: ProtocolRun, concepts: bool = False) -> SavedRun:
    mentioned = concepts_from([["shirt"] if n % 2 else ["red shirt", "shirt"] for n in range(len(run.queries))])
    provenance = {"checkpoint": "out/<model>", "table": "test.csv"}
    return SavedRun(run, intervals(run, resamples=50), provenance, mentioned if concepts else None, "memory")


@pytest.fixture(scope="module")
def made(gallery: Callable[..., PairGallery]) -> PairGallery:
    return gallery(noise=1.5)


@pytest.mark.parametrize("protocol", ["full", "sample"])
def test_a_run_comes_back_from_disk(made: PairGallery, tmp_path: Path, protocol: str) -> None:
    rule = SamplingRule(queries=30, negatives=9, redraws=2)
    run = full_gallery(made) if protocol == "full" else sampled(made, SAMPLE, rule=rule)
    original = saved(run, concepts=True)
    write_run(tmp_path, original)
    back = read_run(tmp_path)
    assert back.run.scores == run.scores and back.run.facts == run.facts
    assert back.run.queries == run.queries and back.run.measures == run.measures
    assert {name: (round(a, 4), round(b, 4)) for name, (a, b) in original.intervals.items()} == back.intervals
    assert back.provenance == original.provenance and back.origin == str(tmp_path)
    assert back.concepts is not None and original.concepts is not None
    assert set(back.concepts.phrases) == {"shirt", "red shirt"}
    assert np.array_equal(back.concepts.offsets, original.concepts.offsets)
    for part in ("values", "rows", "clusters"):
        for name, array in getattr(run, part).items():
            assert np.array_equal(getattr(back.run, part)[name], array)
    if protocol == "sample":
        with np.load(tmp_path / "candidates.npz") as lists:
            assert np.array_equal(lists["text_to_image_candidates"], run.candidates["text_to_image_candidates"])
    else:
        assert not (tmp_path / "candidates.npz").exists()


def test_the_file_states_how_numbers_were_taken(made: PairGallery) -> None:
    run = sampled(made, SAMPLE, seed=4, rule=SamplingRule(queries=30, negatives=9, redraws=2))
    content = json.loads(json.dumps(as_dict(saved(run))))
    for name in (
        "protocol",
        "hit_rule",
        "gallery",
        "queries",
        "negatives",
        "redraws",
        "seed",
        "tie_rule",
        "checkpoint",
    ):
        assert name in content
    assert content["seed"] == 4 and content["redraws"] == 2
    assert content["mean_recall"] == round(run.scores["mean_recall"], 4)
    low, high = content["intervals_95"]["mean_recall"]
    assert low <= content["mean_recall"] <= high


def without(folder: Path, name: str) -> None:
    with np.load(folder / "per_query.npz") as arrays:
        kept = {key: arrays[key] for key in arrays.files if key != name}
    np.savez_compressed(folder / "per_query.npz", **kept)


def shortened(folder: Path, name: str) -> None:
    with np.load(folder / "per_query.npz") as arrays:
        kept = {key: arrays[key][: None if key != name else -1] for key in arrays.files}
    np.savez_compressed(folder / "per_query.npz", **kept)


def flipped(folder: Path) -> None:
    """A byte in the middle of what is compressed."""
    content = bytearray((folder / "per_query.npz").read_bytes())
    for place in range(80, len(content) // 2, 7):
        content[place] ^= 0xFF
    (folder / "per_query.npz").write_bytes(content)


def changed(folder: Path, **values: object) -> None:
    content = json.loads((folder / "evaluation.json").read_text())
    (folder / "evaluation.json").write_text(json.dumps({**content, **values}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "evaluation.json").unlink(), "is no run of 'fashionklip evaluate'"),
        (lambda folder: (folder / "evaluation.json").write_text("{"), "cannot be read as a run"),
        (lambda folder: (folder / "evaluation.json").write_text("[]"), "is not of 'fashionklip evaluate --protocol'"),
        (
            lambda folder: (folder / "evaluation.json").write_text('{"mean_recall": 1}'),
            "is not of 'fashionklip evaluate",
        ),
        (lambda folder: (folder / "evaluation.json").write_text('{"measures": {}, "format": 99}'), "newer than 1"),
        (lambda folder: (folder / "per_query.npz").write_bytes(b"PK\3\4 no"), "cannot be read as a run"),
        (lambda folder: (folder / "per_query.npz").unlink(), "cannot be read as a run"),
        (lambda folder: (folder / "per_query.npz").write_bytes(b""), "cannot be read as a run"),
        (lambda folder: without(folder, "value/text_to_image_R@1"), "cannot be read as a run"),
        (lambda folder: shortened(folder, "value/text_to_image_R@1"), "another number of values of text_to_image_R@1"),
        (lambda folder: shortened(folder, "rows/text_to_image"), "cannot be read as a run"),
        (lambda folder: flipped(folder), "cannot be read as a run"),
        (lambda folder: changed(folder, measures=[]), "cannot be read as a run"),
        (lambda folder: changed(folder, intervals_95=[]), "cannot be read as a run"),
        (lambda folder: (folder / "queries.parquet").write_bytes(b"PAR1"), "cannot be read as a run"),
    ],
)
def test_folders_that_are_no_runs(
    made: PairGallery, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    write_run(tmp_path, saved(full_gallery(made)))
    damage(tmp_path)
    with pytest.raises(InputError) as told:
        read_run(tmp_path)
    assert message in str(told.value) and "\n" not in str(told.value)


def test_only_like_is_compared_with_like(gallery: Callable[..., PairGallery], made: PairGallery) -> None:
    rule = SamplingRule(queries=30, negatives=9, redraws=2)
    full, other = saved(full_gallery(made)), saved(full_gallery(gallery(rows=61)))
    drawn = [saved(sampled(made, SAMPLE, seed=seed, rule=rule)) for seed in (0, 1)]
    for pair, message in (
        ((full, drawn[0]), "different protocols, fashiongen.full.v1 and fashiongen.sample.v1"),
        ((full, other), "search other galleries"),
        ((drawn[0], drawn[1]), r"drawn with other seeds \(0, 1\)"),
    ):
        with pytest.raises(InputError, match=message):
            compare_runs(*pair)


def test_the_page_needs_nothing_else(made: PairGallery) -> None:
    run = full_gallery(made)
    worst = worst_pairs(run, made, count=3)
    text = run_page(saved(run, concepts=True), worst, lambda row: "QUJD")
    page = Page(text)
    assert page.open == []
    assert page.sources and set(page.sources) == {"data:image/jpeg;base64,QUJD"}
    assert not re.search(r"https?://|@import|url\(|<script|<link", text)
    assert "out/&lt;model&gt;" in text and "out/<model>" not in text
    assert text.count("<polyline") == 2  # a recall curve for each direction
    for title in ("Scores", "By category", "Concepts that go best", "Worst queries", "How it was measured"):
        assert f"<h2>{title}</h2>" in text


def test_a_page_without_pictures_concepts_and_categories(made: PairGallery) -> None:
    plain = PairGallery(made.images, made.texts, made.product_keys, made.product_ids, made.captions)
    run = full_gallery(plain)
    text = run_page(saved(run), worst_pairs(run, plain))
    assert "<img" not in text and "By category" not in text and "Concepts" not in text
    assert Page(text).open == []


def test_worst_queries_are_the_worst_and_show_what_came_up(made: PairGallery) -> None:
    run = full_gallery(made)
    worst = worst_pairs(run, made, count=3)
    assert [query.asked for query in worst] == ["image_to_text"] * 3 + ["text_to_image"] * 3
    ranks = run.values["image_to_text_medR"]
    assert worst[0].outcome == f"right one at rank {int(ranks.max())} of 60"
    assert len({made.product_ids[query.row] for query in worst[:3] if query.row is not None}) == 3
    row = worst[0].row
    assert row is not None and ranks[row] == ranks.max()
    best = int((made.texts.astype(float) @ made.images[row]).argmax())
    assert made.captions[best] == worst[0].retrieved[0].text and not worst[0].retrieved[0].hit


def test_sampled_worst_queries_look_among_their_own_candidates(made: PairGallery) -> None:
    run = sampled(made, SAMPLE, rule=SamplingRule(queries=30, negatives=9, redraws=2))
    for query in worst_pairs(run, made, count=2):
        assert query.outcome.endswith("of 10")
        shown = [one.row for one in query.retrieved]
        place = int(np.argmax(run.values[f"{query.asked}_medR"]))
        lists = run.candidates[f"{query.asked}_candidates"].reshape(-1, 10)
        assert any(set(shown) <= set(one.tolist()) for one in lists) and place >= 0


def test_markdown_has_the_tables(made: PairGallery) -> None:
    run = full_gallery(made)
    text = markdown("a | b <c>", run_tables(saved(run, concepts=True)), worst_pairs(run, made, count=1))
    assert text.startswith("# a \\| b &lt;c>\n")
    row = next(line for line in text.splitlines() if line.startswith("| mean_recall"))
    assert f"{run.scores['mean_recall']:.2f}" in row
    assert "## By category" in text and "## Worst queries" in text


def test_a_comparison_shows_differences_and_concepts(gallery: Callable[..., PairGallery]) -> None:
    runs = [saved(full_gallery(gallery(noise=noise)), concepts=True) for noise in (2.0, 1.0)]
    runs[1] = replace(runs[1], provenance={**runs[1].provenance, "checkpoint": "out/other"})
    comparison = compare_runs(*runs, resamples=50, permutations=100)
    tables = {table.title: table for table in comparison_tables(comparison)}
    row = next(row for row in tables["Difference"].rows if row[0] == "mean_recall")
    before, after = (run.run.scores["mean_recall"] for run in runs)
    assert row[1:4] == [f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}"]
    assert {row[0] for row in tables["Concepts that gained most"].rows} == {"shirt", "red shirt"}
    assert "read q" in tables["Concepts that gained most"].note
    assert sum(int(row[4]) for row in tables["By category"].rows) == 60
    assert tables["By category"].header[0] == "group" and tables["Concepts that gained most"].header[0] == "concept"
    measured = dict(tables["How both were measured"].rows)
    assert measured["table"] == "test.csv" and "checkpoint" not in measured  # each has its own, under "Runs"
    text = comparison_page(comparison)
    assert Page(text).open == [] and text.count("<polyline") == 4
    content = json.loads(json.dumps(comparison.as_dict()))
    assert content["measures"]["mean_recall"]["p"] == comparison.differences["mean_recall"].p


def test_thumbnails_are_small_jpegs_and_none_where_there_is_no_picture(
    tmp_path: Path, write_table: Callable[..., Path], rows_of: Callable[..., list[list[str]]]
) -> None:
    rows = rows_of(tmp_path, 2)
    Image.new("RGB", (900, 300), "red").save(tmp_path / rows[0][1])
    (tmp_path / rows[1][1]).write_bytes(b"no picture")
    table = PairTable(open_catalogue(write_table(tmp_path / "t.csv", rows)), "caption", "image")
    encoded = thumbnail(table, 0)
    assert encoded is not None and thumbnail(table, 1) is None
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert image.format == "JPEG" and image.size == (112, 37)
