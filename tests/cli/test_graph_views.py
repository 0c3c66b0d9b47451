"""`fashionklip graph show | export | import | browse` as commands, and the tree of `show`."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from easynlp_fashionklip.cli import fashionklip_main
from easynlp_fashionklip.cli.concept_tree import concept_tree
from easynlp_fashionklip.graph.builder import build_graph
from easynlp_fashionklip.graph.store import ConceptGraph

TITLES = ["Short Sleeve T-Shirt in White", "Black T-Shirt", "White T-Shirt", "Short Sleeve T-Shirt", "Slim Fit Jeans"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "graph"
    spacy = pytest.importorskip("spacy")
    build_graph(TITLES, [f"p{i}" for i in range(5)], spacy.blank("en"), min_frequency=1).save(path)
    return path


@pytest.fixture()
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def command(*argv: object) -> tuple[int, str, str]:
        code = fashionklip_main(["graph", *map(str, argv)])
        return code, *capsys.readouterr()

    return command


def drawn(graph: ConceptGraph, phrase: str) -> list[str]:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    concept = graph.find(phrase)
    assert concept is not None
    console.print(concept_tree(graph, concept))
    return str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]


def test_the_tree_has_the_path_the_other_parents_and_the_kinds(folder: Path) -> None:
    graph = ConceptGraph.load(folder)
    lines = drawn(graph, "short sleeve t-shirt")
    assert lines[0].startswith("t-shirt  4")
    assert lines[1].strip().startswith("\u2514\u2500\u2500 short sleeve t-shirt  2")
    assert any("short sleeve t-shirt in white  1" in line for line in lines[2:])
    assert lines[-1].endswith("no prototypes")
    finest = "\n".join(drawn(graph, "short sleeve t-shirt in white"))
    assert "also a kind of" in finest and "t-shirt in white  1" in finest


def test_control_characters_do_not_reach_the_terminal(folder: Path) -> None:
    graph = ConceptGraph.load(folder)
    graph.tables.concepts.phrases[0] = "a\x1b[31mb\nc[bold]d"
    graph = ConceptGraph(graph.tables)
    text = "\n".join(drawn(graph, "a\x1b[31mb\nc[bold]d"))
    assert "a\\x1b[31mb\\nc[bold]d" in text and "\x1b" not in text


def test_show_prints_plain_text_into_a_pipe(folder: Path, run: Any) -> None:
    code, out, _ = run("show", "Short Sleeve T-Shirts", "--graph", folder)
    assert code == 0
    assert "path: t-shirt > short sleeve t-shirt" in out and "\x1b" not in out and "\u2514" not in out


def test_show_draws_a_tree_on_a_terminal(folder: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    code, out, _ = run("show", "jeans", "--graph", folder)
    assert code == 0
    assert "slim fit jeans" in out and "kinds" in out and "head" not in out


def test_show_names_the_nearest_phrases(folder: Path, run: Any) -> None:
    code, _, err = run("show", "slmi fti jaens", "--graph", folder)
    assert code == 2
    assert "has no concept" in err and "the nearest are 'slim fit jean" in err


@pytest.mark.parametrize("to", ["release", "graphml", "skos", "neo4j"])
def test_export(folder: Path, tmp_path: Path, run: Any, to: str) -> None:
    code, out, err = run("export", "--graph", folder, "--to", to, "--out", tmp_path / "out")
    assert code == 0, err
    assert (tmp_path / "out").exists() and f"as {to}" in out


def test_export_and_import(folder: Path, tmp_path: Path, run: Any) -> None:
    run("export", "--graph", folder, "--to", "release", "--out", tmp_path / "out")
    code, _, err = run("import", "--release", tmp_path / "out", "--out", tmp_path / "back")
    assert code == 0, err
    assert ConceptGraph.load(tmp_path / "back").concepts == ConceptGraph.load(folder).concepts
    code, _, err = run("import", "--release", tmp_path / "out", "--out", tmp_path / "back")
    assert code == 2 and "exists" in err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--to", "grafml"], "did you mean 'graphml'"),
        (["--to", "skos", "--base", "shop"], "absolute IRI"),
        (["--to", "skos", "--catalog", "t.csv"], "comes without --image"),
        (["--to", "neo4j", "--base", "urn:a:"], "is for --to=skos"),
    ],
)
def test_export_with_bad_input(folder: Path, tmp_path: Path, run: Any, more: list[str], words: str) -> None:
    code, _, err = run("export", "--graph", folder, "--out", tmp_path / "out", *more)
    assert code == 2
    assert words in err and err.count("error: ") == 1
    assert not (tmp_path / "out").exists()


def test_browse(folder: Path, tmp_path: Path, run: Any) -> None:
    code, out, err = run("browse", "--graph", folder, "--out", tmp_path / "graph.html")
    assert code == 0, err
    assert "graph.html" in out and (tmp_path / "graph.html").stat().st_size > 10_000
    (tmp_path / "graph.html").write_text("mine")
    code, _, err = run("browse", "--graph", folder, "--out", tmp_path / "graph.html")
    assert code == 2 and "not an earlier export" in err
