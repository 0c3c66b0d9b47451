"""The ablation's command: a control that is one, a table that says what the runs say, nothing done twice."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.gallery import PairGallery
from easynlp_fashionklip.evaluation.measures import ProtocolRun
from easynlp_fashionklip.evaluation.pair_protocols import full_gallery
from easynlp_fashionklip.evaluation.queries import SearchQuery
from easynlp_fashionklip.evaluation.resampling import compare
from easynlp_fashionklip.evaluation.search_protocols import product_search
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.pipeline import load_spacy

FOLDER = Path(__file__).parents[2] / "examples" / "ablation"
MODULES = ("results", "rows", "words", "training", "table", "run", "queries")
PRODUCTS = [f"p{number}" for number in range(40)]


@pytest.fixture(scope="module")
def ablation() -> Iterator[SimpleNamespace]:
    """The scripts, which import each other as neighbours."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(**{name: __import__(name) for name in MODULES})
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)


def options(out: Path, **more: Any) -> argparse.Namespace:
    """Of the command, its defaults."""
    usual = {"model": "starter", "px": 112, "epochs": 5, "batch": 64, "learning_rate": "3e-4", "parameters": ""}
    return argparse.Namespace(**{**usual, "out": out, "results": out, **more})


def shop_runs(seed: int, noise: float) -> dict[str, ProtocolRun]:
    """Both protocols of pictures and texts that agree but for the noise."""
    rng = np.random.default_rng(seed)
    texts = rng.normal(size=(len(PRODUCTS), 8))
    images = texts + noise * rng.normal(size=texts.shape)
    texts, images = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (texts, images))
    keys = np.arange(len(PRODUCTS))
    gallery = PairGallery(images, texts, keys, PRODUCTS, [f"text {one}" for one in PRODUCTS])
    queries = [SearchQuery(str(n), f"query {n}", frozenset(PRODUCTS[n : n + 2]), "kind") for n in range(0, 40, 2)]
    return {"retrieval": full_gallery(gallery), "search": product_search(gallery, queries, texts[::2])}


def finished(
    ablation: SimpleNamespace,
    out: Path,
    row: str,
    seed: int,
    noise: float,
    minutes: float,
    machine: str = "CPU, fp32",
    tables: str | None = None,
) -> None:
    """Add a row's result as a finished job does."""
    job = ablation.training.Job(options(out), Path("shop"), row, seed)
    runs = {name: ablation.results.without_texts(name, run) for name, run in shop_runs(seed, noise).items()}
    ablation.results.add(
        job.file, ablation.results.Result(row, seed, job.settings, tables, machine, 60 * minutes, 1.0, runs)
    )


def shop_table(ablation: SimpleNamespace, out: Path) -> str:
    return ablation.table.catalogue_table(list(ablation.results.load(out / "shop.parquet").values()))


def cells(table: str, name: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {name}"))
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_the_table_has_means_spreads_and_differences_from_the_baseline(
    ablation: SimpleNamespace, tmp_path: Path
) -> None:
    for seed in (1, 2):
        finished(ablation, tmp_path, "itc", seed, noise=1.5, minutes=seed)
        machine = "CPU, fp32" if seed == 1 else "H100, bf16"
        finished(ablation, tmp_path, "all", seed, noise=0.1, minutes=3, machine=machine)
    finished(ablation, tmp_path, "image", 2, noise=1.5, minutes=3)
    text = shop_table(ablation, tmp_path)
    baseline, best = cells(text, "ITC |"), cells(text, ablation.rows.ROWS["all"].name)
    assert baseline[1] == best[1] == "2"
    assert baseline[3] == baseline[5] == ""
    assert baseline[-2:] == ["1.5 ± 0.7", "CPU, fp32"]
    assert best[-1] == "CPU, fp32 (1); H100, bf16 (2)"
    gain = float(best[2].split(" ")[0]) - float(baseline[2].split(" ")[0])
    assert best[3].startswith(f"+{gain:.1f} [") or abs(float(best[3].split(" ")[0]) - gain) < 0.11
    assert "p < 0.001" in best[3]
    results = list(ablation.results.load(tmp_path / "shop.parquet").values())
    turned = ablation.table.catalogue_table(results, "all")
    assert "vs all" in turned and "vs ITC" not in turned
    assert cells(turned, ablation.rows.ROWS["all"].name)[3] == ""
    assert cells(turned, "ITC |")[3].startswith(f"-{best[3].split(' ')[0][1:]} [")
    assert "trains in part" not in text  # no row of that group is there
    equal = cells(text, "+ CVA `image` |")  # the baseline's own numbers, of one seed
    assert equal[1] == "1"
    assert equal[3].startswith("+0.0 [+0.0, +0.0] (p = 1.000)")


def test_finished_jobs_are_not_run_again(
    ablation: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(ablation, tmp_path / "out", "itc", 1, noise=1.0, minutes=1)
    begun: list[str] = []
    monkeypatch.setattr(ablation.run, "run", lambda job, row: begun.append(job.row))
    monkeypatch.setattr(ablation.run, "require_tables", lambda data: None)
    document = tmp_path / "table.md"
    document.write_text("before\n<!-- ablation-shop:begin -->\nold\n<!-- ablation-shop:end -->\nafter\n")
    argv = ["run.py", "--data", "shop", "--out", str(tmp_path / "out"), "--rows", "itc", "all", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", [*argv, "--write", str(document)])
    ablation.run.main()
    assert begun == ["all"]
    assert "| ITC |" in capsys.readouterr().out
    written = document.read_text()
    monkeypatch.setattr(sys, "argv", [*argv, "--show"])
    ablation.run.main()
    assert begun == ["all"]
    assert written.startswith("before\n") and written.endswith("after\n") and "old" not in written
    assert "| ITC |" in written


def test_results_of_other_settings_are_refused(ablation: SimpleNamespace, tmp_path: Path) -> None:
    finished(ablation, tmp_path, "itc", 1, noise=1.0, minutes=1)
    assert ablation.training.Job(options(tmp_path), Path("shop"), "itc", 1).result is not None
    assert ablation.training.Job(options(tmp_path), Path("shop"), "itc", 2).result is None
    with pytest.raises(InputError, match="give other --results"):
        _ = ablation.training.Job(options(tmp_path, epochs=3), Path("shop"), "itc", 1).result


def test_results_of_other_tables_are_refused(ablation: SimpleNamespace, tmp_path: Path) -> None:
    """In a run, by the digest of the tables that are there, and in a table, where two runs have different ones."""
    shop = tmp_path / "shop"
    shop.mkdir()
    for name in ablation.training.TABLES:
        (shop / name).write_text(name)
    tables = ablation.training.digest_of_tables(shop)
    finished(ablation, tmp_path, "itc", 1, noise=1.0, minutes=1, tables=tables)
    assert ablation.training.Job(options(tmp_path), shop, "itc", 1).result.tables == tables
    (shop / "test.csv").write_text("other products")
    ablation.training.digest_of_tables.cache_clear()
    with pytest.raises(InputError, match="row itc, seed 1 of other tables than those in"):
        _ = ablation.training.Job(options(tmp_path), shop, "itc", 1).result
    finished(ablation, tmp_path, "all", 1, noise=1.0, minutes=1, tables=ablation.training.digest_of_tables(shop))
    with pytest.raises(InputError, match="are of other tables"):
        shop_table(ablation, tmp_path)


def test_kept_results_say_what_the_runs_said_and_hold_no_text(ablation: SimpleNamespace, tmp_path: Path) -> None:
    finished(ablation, tmp_path, "itc", 2, noise=0.8, minutes=1)
    finished(ablation, tmp_path, "all", 1, noise=0.8, minutes=1)
    loaded = ablation.results.load(tmp_path / "shop.parquet")
    assert list(loaded) == [("all", 1), ("itc", 2)]
    other = shop_runs(seed=1, noise=0.3)
    for name, run in shop_runs(seed=2, noise=0.8).items():
        kept = loaded["itc", 2].runs[name]
        for measure in ablation.table.TESTED:
            if measure in run.measures:
                assert kept.scores[measure] == pytest.approx(run.scores[measure], abs=1e-4)
                whole = compare(run, other[name])[measure]
                part = compare(kept, ablation.results.without_texts(name, other[name]))[measure]
                assert (part.low, part.high, part.p) == pytest.approx((whole.low, whole.high, whole.p), abs=1e-4)
    content = (tmp_path / "shop.parquet").read_bytes()
    plain = str(pq.read_table(tmp_path / "shop.parquet").to_pylist())
    assert not any(word.encode() in content or word in plain for word in ("query 0", "text p", "p39", "kind"))


def test_a_result_takes_the_place_of_an_earlier_one(ablation: SimpleNamespace, tmp_path: Path) -> None:
    for minutes in (1, 2):
        finished(ablation, tmp_path, "itc", 1, noise=1.0, minutes=minutes)
    assert [one.seconds for one in ablation.results.load(tmp_path / "shop.parquet").values()] == [120.0]


def test_bad_input_is_told_before_anything_is_trained(
    ablation: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ablation.run, "run", None)
    (tmp_path / "other.parquet").write_text("no")
    (tmp_path / "table.md").write_text("<!-- ablation-shop:begin -->")
    whole = "<!-- ablation-shop:begin -->\nkept\n<!-- ablation-shop:end -->\n"
    (tmp_path / "whole.md").write_text(whole)
    for data, more, told in (
        (["shop"], ["--write", str(tmp_path / "table.md")], "has no place for shop"),
        (["shop"], ["--write", str(tmp_path / "none.md")], "cannot be read"),
        (["a/shop", "b/shop"], [], "cannot be told apart"),
        ([str(tmp_path / "shop")], [], "has no train.csv, valid.csv, test.csv, test_queries.jsonl"),
        (["other"], [], "other.parquet is no file of the ablation's results"),
        (["shop"], ["--show", "--write", str(tmp_path / "whole.md")], "has no results of shop; name their folder"),
        (["shop"], ["--show", "--tune", "1e-4"], "leave one of them out"),
    ):
        monkeypatch.setattr(sys, "argv", ["run.py", "--data", *data, "--out", str(tmp_path), *more])
        with pytest.raises(SystemExit) as ended:
            ablation.run.main()
        error = capsys.readouterr().err
        assert ended.value.code == 2 and error.startswith("error: ") and told in error and error.count("\n") == 1
    assert (tmp_path / "whole.md").read_text() == whole


def test_a_program_that_fails_ends_this_one(ablation: SimpleNamespace, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ablation.training.program("fashionklip", "graph", "show", "/none")
    assert ended.value.code == 2 and "Traceback" not in capfd.readouterr().err


def test_learning_rates_are_compared_on_the_rows_that_train(
    ablation: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(job: Any, row: Any) -> None:
        assert row.trained
        recall = {"1e-4": 50.0, "3e-4": 60.25}[job.options.learning_rate]
        result = ablation.results.Result(job.row, job.seed, job.settings, valid_mean_recall=recall)
        ablation.results.add(job.file, result)

    monkeypatch.setattr(ablation.run, "run", run)
    monkeypatch.setattr(ablation.run, "require_tables", lambda data: None)
    argv = ["run.py", "--data", "shop", "--out", str(tmp_path), "--rows", "zero-shot", "itc", "--tune", "1e-4", "3e-4"]
    monkeypatch.setattr(sys, "argv", argv)
    ablation.run.main()
    assert capsys.readouterr().out.splitlines()[-1] == "| shop | ITC | 50.0 | 60.2 |"


def test_the_pipeline_of_words_has_no_phrases(ablation: SimpleNamespace, tmp_path: Path) -> None:
    ablation.words.save_pipeline(tmp_path / "words")
    graph = build_graph(["Red T-shirt with the short sleeves"] * 2, ["a", "b"], load_spacy(str(tmp_path / "words")))
    assert sorted(one.phrase for one in graph.concepts) == ["red", "shirt", "short", "sleeves", "t"]
    assert not graph.ancestor_csr[1].size


@pytest.mark.slow
def test_a_row_from_tables_to_scores(
    ablation: SimpleNamespace, tmp_path: Path, rows_of: Callable[..., Any], write_table: Callable[..., Path]
) -> None:
    data = tmp_path / "shop"
    data.mkdir()
    for split, count in (("train", 32), ("valid", 16), ("test", 16)):
        write_table(data / f"{split}.csv", rows_of(data, count, split[0]))
    ids = [row.split(",")[0] for row in (data / "test.csv").read_text().splitlines()[1:]]
    (data / "test_queries.jsonl").write_text(
        json.dumps({"query_id": 0, "query_text": "red dress", "kind": "colour", "item_ids": ids[:2]}) + "\n"
    )
    small = {
        "model": "tiny",
        "px": 32,
        "parameters": "min_frequency=1",
        "learning_rate": "1e-3",
        "epochs": 1,
        "batch": 8,
    }
    given = options(tmp_path / "out", **small, tune=[])
    for row in ("zero-shot", "itc-text", "default", "words", "shuffled"):
        job = ablation.training.Job(given, data, row, 1)
        ablation.training.run(job, ablation.rows.ROWS[row])
        assert set(job.result.runs) == {"retrieval", "search"}
        assert (job.result.machine is not None) == (row != "zero-shot")
        assert not (job.folder / "model").exists()
    text = shop_table(ablation, tmp_path / "out")
    parts = [part.splitlines() for part in text.split("\n\n")]
    assert [len(part) for part in parts] == [1, 2 + 3, 1, 2 + 2]
    assert "vs ITC" in parts[1][0]


def shop(folder: Path) -> Path:
    """The tables of `shop_runs`: queries 0 to 9 are in training texts, two of three are about coats."""
    folder.mkdir()
    (folder / "train.csv").write_text(
        "product_id,image,caption\n" + "".join(f"t{n},t.jpg,A (Query {n})\n" for n in range(10)) + "t,t.jpg,query\n"
    )
    (folder / "valid.csv").write_text("product_id,image,caption\n")
    lines = [f"{one},{one}.jpg,text,{'coat' if n // 2 % 3 else 'hat'}\n" for n, one in enumerate(PRODUCTS)]
    (folder / "test.csv").write_text("product_id,image,caption,category\n" + "".join(lines))
    kinds = ["few"] * 4 + ["many"] * 16
    records = [
        {"query_id": n, "query_text": f"query {n}", "kind": kind, "item_ids": PRODUCTS[2 * n : 2 * n + 2]}
        for n, kind in enumerate(kinds)
    ]
    (folder / "test_queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    return folder


def test_where_the_gain_in_search_comes_from(
    ablation: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shop(tmp_path / "shop")
    argv = ["queries.py", "--data", str(data), "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit, match="2"):
        ablation.queries.main()
    assert "has no seed of both rows, default and itc-text" in capsys.readouterr().err
    tables = ablation.training.digest_of_tables(data)
    for seed in (1, 2):
        finished(ablation, tmp_path, "itc-text", seed, noise=1.5, minutes=1, tables=tables)
        finished(ablation, tmp_path, "default", seed, noise=0.1, minutes=1, tables=tables)
    ablation.queries.main()
    out = capsys.readouterr().out
    results = ablation.results.load(tmp_path / "shop.parquet")
    rows = ("itc-text", "default")
    values = {row: np.mean([results[row, n].runs["search"].values["mAP"] for n in (1, 2)], axis=0) for row in rows}
    for name, chosen in {
        "all": slice(None),
        "few": slice(4),
        "many": slice(4, None),
        "in training texts": slice(10),
        "in none of them": slice(10, None),
    }.items():
        _, number, before, after, gain, _ = cells(out, f"{name} |")
        means = [100 * values[row][chosen].mean() for row in rows]
        assert int(number) == len(values["default"][chosen])
        assert [float(before), float(after)] == pytest.approx(means, abs=0.06)
        assert float(gain.split(" ")[0]) == pytest.approx(means[1] - means[0], abs=0.06)
        assert gain.endswith("(p < 0.001)") == (name in ("all", "many"))  # of ten, no p can be as small
    assert cells(out, "few |")[4].split(" ")[1] == "–"  # four queries: no interval
    assert all(cells(out, f"{name} |")[5] == "–" for name in ("all", "few"))  # two categories: none either
    assert "mean_recall, seeds 1, 2: +" in out
    monkeypatch.setattr(sys, "argv", [*argv, "--category", "group"])
    with pytest.raises(SystemExit, match="2"):
        ablation.queries.main()
    assert "test.csv has no column 'group'; name one with --category" in capsys.readouterr().err
    (data / "test.csv").write_text((data / "test.csv").read_text().replace("text,coat", "text,cap", 1))
    ablation.training.digest_of_tables.cache_clear()
    with pytest.raises(SystemExit, match="2"):
        ablation.queries.main()
    assert "is of other tables than those in" in capsys.readouterr().err


def test_categories_of_queries_and_words_side_by_side(ablation: SimpleNamespace) -> None:
    queries = [SearchQuery("0", "x", ("a", "b", "c")), SearchQuery("1", "y", ("a", "b")), SearchQuery("2", "z", ("b",))]
    found = ablation.queries.categories_of(queries, {"a": "hat", "b": "coat", "c": "hat"})
    assert found[0] != found[1] == found[2]  # hat; of two as frequent the first by name
    texts = ["Black leggings/tights. Soft", "a red-dress", "dress red"]
    phrases = ["leggings tights", "tights soft", "black tights", "red dress", "legging", "soft a"]
    assert ablation.queries.in_texts(phrases, texts).tolist() == [True, True, False, True, False, False]
