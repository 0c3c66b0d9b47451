"""`fashionklip graph expand`, and builds that are killed, locked out or out of disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from growing import SETTINGS, build, by_texts, bytes_of, described, expand, write_texts

from easynlp_fashionklip.app import graph_build, work_folder
from easynlp_fashionklip.graph import ConceptGraph
from easynlp_fashionklip.graph.engines.chunk import SegmentMiner
from easynlp_fashionklip.models.zoo import load_pretrained

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def halves(catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `all.csv`, `old.csv` and `new.csv`; pictures lie where `all.csv` says."""
    folder = tmp_path_factory.mktemp("halves") / "shop"
    shutil.copytree(catalogue, folder)
    header, *rows = (folder / "train.csv").read_text(encoding="utf-8").splitlines()
    for name, part in (("all", rows), ("old", rows[: len(rows) // 2]), ("new", rows[len(rows) // 2 :])):
        (folder / f"{name}.csv").write_text("\n".join([header, *part]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def old(halves: Path, tmp_path_factory: pytest.TempPathFactory, fashionklip_here: Run) -> Path:
    """The graph of the first half; tests copy it."""
    out = tmp_path_factory.mktemp("old") / "graph"
    outcome = fashionklip_here(build(halves / "old.csv", out))
    assert outcome.code == 0, outcome.err
    return out


@pytest.fixture()
def graph(old: Path, tmp_path: Path) -> Path:
    shutil.copytree(old, tmp_path / "graph")
    return tmp_path / "graph"


@pytest.fixture()
def untouched(graph: Path) -> Iterator[None]:
    """Whatever happens, the graph stays as it was and nothing is left beside it."""
    before = bytes_of(graph)
    yield
    assert bytes_of(graph) == before
    assert [path.name for path in graph.parent.iterdir() if path.suffix == ".tmp"] == []


def test_expanding_equals_building_from_everything(
    halves: Path, graph: Path, tmp_path: Path, fashionklip_here: Run
) -> None:
    first = ConceptGraph.load(graph).tables.concepts.phrases
    outcome = fashionklip_here(expand(halves / "new.csv", graph))
    assert outcome.code == 0, outcome.err
    assert fashionklip_here(build(halves / "all.csv", tmp_path / "whole")).code == 0
    grown, whole = ConceptGraph.load(graph), ConceptGraph.load(tmp_path / "whole")
    assert grown.tables.concepts.phrases[: len(first)] == first
    assert len(grown) > len(first)
    assert described(grown) == described(whole)
    assert grown.info == whole.info
    before = bytes_of(graph)
    assert fashionklip_here(expand(halves / "all.csv", graph)).code == 0
    assert bytes_of(graph) == before  # it knew them all
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph", "whole"]


@pytest.mark.usefixtures("untouched")
def test_another_encoder_is_refused(halves: Path, graph: Path, tmp_path: Path, fashionklip_here: Run) -> None:
    model = load_pretrained("tiny")
    with torch.no_grad():
        next(parameter for parameter in model.parameters() if parameter.ndim > 1).add_(0.1)
    model.save_pretrained(tmp_path.with_name(tmp_path.name + "-other"))
    outcome = fashionklip_here(expand(halves / "new.csv", graph, "--model", str(tmp_path) + "-other"))
    assert outcome.code == 2
    assert "is not the encoder" in outcome.err and "tiny" in outcome.err


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("graph.json", lambda text: json.dumps(json.loads(text) | {"format_version": 99}), "99"),
        ("graph.json", lambda text: json.dumps(json.loads(text) | {"spacy_pipeline": "en_other 9.9"}), "en_other"),
    ],
)
def test_a_graph_of_another_version(
    halves: Path, graph: Path, fashionklip_here: Run, file: str, change: Callable[[str], str], words: str
) -> None:
    path = graph / file
    kept = path.read_text(encoding="utf-8")
    path.write_text(change(kept), encoding="utf-8")
    outcome = fashionklip_here(expand(halves / "new.csv", graph))
    path.write_text(kept, encoding="utf-8")
    assert outcome.code == 2
    assert words in outcome.err


def test_a_damaged_graph(halves: Path, graph: Path, fashionklip_here: Run) -> None:
    (graph / "mentions.parquet").write_bytes(b"PAR1 no more PAR1")
    before = bytes_of(graph)
    outcome = fashionklip_here(expand(halves / "new.csv", graph))
    assert outcome.code == 2
    assert "mentions.parquet" in outcome.err
    assert bytes_of(graph) == before


HOLDER = """
import sys, time
from easynlp_fashionklip.graph.lock import hold
with hold(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.usefixtures("untouched")
def test_the_second_of_two_is_told(halves: Path, graph: Path, fashionklip_here: Run) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(graph)], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        outcome = fashionklip_here(expand(halves / "new.csv", graph))
        first.kill()
    assert outcome.code == 2
    assert f"is being written by process {first.pid}" in outcome.err


MAIN = """
import sys
from easynlp_fashionklip.cli import fashionklip_main
sys.exit(fashionklip_main(sys.argv[1:]))
"""
FULL = """
import resource, sys
from easynlp_fashionklip.cli import fashionklip_main
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
sys.exit(fashionklip_main(sys.argv[1:]))
"""


@pytest.mark.usefixtures("untouched")
def test_a_full_disk(halves: Path, graph: Path) -> None:
    command = [sys.executable, "-c", FULL, *expand(halves / "new.csv", graph)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 2, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert "error: " in outcome.stderr.splitlines()[-1]


def test_an_interrupted_build_goes_on(
    halves: Path,
    tmp_path: Path,
    fashionklip_here: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After mining and embedding, before anything is written: neither is done again."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(graph_build, "encode_texts", stop)
        assert fashionklip_here(build(halves / "all.csv", tmp_path / "graph")).code not in (0, 2)
    assert not (tmp_path / "graph").exists()
    encoded = json.loads((tmp_path / ".graph.partial" / "encoded.json").read_text())["rows"]
    assert encoded == len((halves / "all.csv").read_text(encoding="utf-8").splitlines()) - 1
    with monkeypatch.context() as patch:
        patch.setattr(work_folder, "encode_images_to", lambda *given, **more: pytest.fail("embeds again"))
        patch.setattr(SegmentMiner, "mine", lambda *given: pytest.fail("mines again"))
        outcome = fashionklip_here(build(halves / "all.csv", tmp_path / "graph"))
    assert outcome.code == 0, outcome.err
    assert not (tmp_path / ".graph.partial").exists()
    assert fashionklip_here(build(halves / "all.csv", tmp_path / "at-once")).code == 0
    assert bytes_of(tmp_path / "graph") == bytes_of(tmp_path / "at-once")


def test_parts_of_another_catalogue_are_not_used(
    halves: Path, tmp_path: Path, fashionklip_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(graph_build, "encode_texts", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        fashionklip_here(build(halves / "old.csv", tmp_path / "graph"))
    assert (tmp_path / ".graph.partial").exists()
    for name in ("graph", "at-once"):
        assert fashionklip_here(build(halves / "all.csv", tmp_path / name)).code == 0
    assert bytes_of(tmp_path / "graph") == bytes_of(tmp_path / "at-once")


@pytest.mark.slow
def test_a_killed_build_goes_on(halves: Path, tmp_path: Path, fashionklip_here: Run) -> None:
    """kill -9 as soon as the first part is on the disk."""
    command = [sys.executable, "-c", MAIN, *build(halves / "all.csv", tmp_path / "graph")]
    parts = tmp_path / ".graph.partial"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(parts.glob("mined-*.npz")):
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert parts.exists() and not (tmp_path / "graph").exists()
    for name in ("graph", "at-once"):
        assert fashionklip_here(build(halves / "all.csv", tmp_path / name)).code == 0
    assert bytes_of(tmp_path / "graph") == bytes_of(tmp_path / "at-once")


# ------------------------------------------------------------------------------------------------------- texts alone


def test_pictures_cannot_be_grown_by_texts(graph: Path, tmp_path: Path, fashionklip_here: Run) -> None:
    outcome = fashionklip_here(by_texts("expand", write_texts(tmp_path / "t.parquet", ["Red Dress"]), graph))
    assert outcome.code == 2
    assert "--catalog" in outcome.err


# ------------------------------------------------------------------------------------------- what cannot grow exactly


def without_ids(path: Path) -> Path:
    """The same catalogue without its column of product ids."""
    lines = path.read_text(encoding="utf-8").splitlines()
    other = path.with_name(f"{path.stem}-without-ids.csv")
    other.write_text("\n".join(line.split(",", 1)[1] for line in lines) + "\n", encoding="utf-8")
    return other


@pytest.mark.usefixtures("untouched")
def test_pictures_without_product_ids_are_refused(halves: Path, graph: Path, fashionklip_here: Run) -> None:
    """Their numbers would be those of products that the graph knows."""
    outcome = fashionklip_here(expand(without_ids(halves / "new.csv"), graph))
    assert outcome.code == 2
    assert "has no column of product ids" in outcome.err and "--set product_id=COLUMN" in outcome.err


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("setting", ["min_frequency=9", "num_prototypes=3", "prototype_scope=paper", "image_size=96"])
def test_a_setting_other_than_the_graphs_is_refused(
    halves: Path, graph: Path, fashionklip_here: Run, setting: str
) -> None:
    argv = [setting if word.startswith("data_workers") else word for word in expand(halves / "new.csv", graph)]
    outcome = fashionklip_here(argv)
    assert outcome.code == 2
    assert f"leave out {setting}" in outcome.err


def test_the_graphs_own_settings_may_be_said_again(halves: Path, graph: Path, fashionklip_here: Run) -> None:
    argv = expand(halves / "new.csv", graph)
    outcome = fashionklip_here([SETTINGS if word.startswith("data_workers") else word for word in argv])
    assert outcome.code == 0, outcome.err


@pytest.mark.usefixtures("untouched")
def test_an_unreadable_catalogue(graph: Path, tmp_path: Path, fashionklip_here: Run) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("product_id,image,caption\n", encoding="utf-8")
    for path, words in ((empty, "empty.csv"), (tmp_path / "gone.csv", "gone.csv")):
        outcome = fashionklip_here(expand(path, graph))
        assert outcome.code == 2
        assert words in outcome.err and "Traceback" not in outcome.err


@pytest.mark.slow
def test_two_expansions_at_once_lose_nothing(halves: Path, graph: Path, tmp_path: Path, fashionklip_here: Run) -> None:
    """Two processes, each with a part of the new rows; who is told that the other writes tries again."""
    header, *rows = (halves / "new.csv").read_text(encoding="utf-8").splitlines()
    commands = []
    for name, part in (("one", rows[::2]), ("other", rows[1::2])):
        (halves / f"{name}.csv").write_text("\n".join([header, *part]) + "\n", encoding="utf-8")
        commands.append(expand(halves / f"{name}.csv", graph))
    processes = [subprocess.Popen([sys.executable, "-c", MAIN, *one], stderr=subprocess.PIPE) for one in commands]
    errors = [process.communicate()[1].decode() for process in processes]
    for process, command, error in zip(processes, commands, errors, strict=True):
        assert process.returncode == 0 or (process.returncode == 2 and "is being written by process" in error), error
        if process.returncode:
            assert fashionklip_here(command).code == 0
    assert fashionklip_here(build(halves / "all.csv", tmp_path / "whole")).code == 0
    grown, whole = described(ConceptGraph.load(graph)), described(ConceptGraph.load(tmp_path / "whole"))
    assert {name: grown[name] for name in ("edges", "frequency", "mentions")} == {
        name: whole[name] for name in ("edges", "frequency", "mentions")
    }
