"""Exports appear whole or not at all and replace nothing of somebody else's."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph.export import FORMATS, export_graph
from easynlp_fashionklip.graph.export.output import new_file, new_folder
from easynlp_fashionklip.graph.store import ConceptGraph


@pytest.mark.parametrize("to", FORMATS)
def test_something_else_is_not_replaced(shirts: ConceptGraph, tmp_path: Path, to: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    for name in ("file", "folder"):
        with pytest.raises(InputError, match=f"{name} exists.*another path|{name} exists; remove it"):
            export_graph(shirts, to, tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == ["thesis.txt"]


@pytest.mark.parametrize("to", ["graphml", "skos"])
def test_an_earlier_export_is_replaced_by_one_of_its_kind_alone(shirts: ConceptGraph, tmp_path: Path, to: str) -> None:
    export_graph(shirts, to, tmp_path / "out")
    first = (tmp_path / "out").read_bytes()
    export_graph(shirts, to, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == first
    other = "skos" if to == "graphml" else "graphml"
    with pytest.raises(InputError, match="not an earlier export of this kind"):
        export_graph(shirts, other, tmp_path / "out")


@pytest.mark.parametrize("to", FORMATS)
def test_a_missing_parent_folder_is_made(shirts: ConceptGraph, tmp_path: Path, to: str) -> None:
    export_graph(shirts, to, tmp_path / "new" / "out")
    assert os.listdir(tmp_path / "new") == ["out"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("mark, old")
    with pytest.raises(KeyError), new_file(tmp_path / "old", "mark") as file:
        file.write("mark, new")
        raise KeyError
    with pytest.raises(KeyError), new_folder(tmp_path / "folder") as folder:
        (folder / "part").write_text("half")
        raise KeyError
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "mark, old"


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="out cannot be written .No space left"), new_file(tmp_path / "out", "mark"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(InputError, match="out cannot be written .No space left"), new_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == []


def test_an_empty_folder_may_be_there_but_one_filled_meanwhile_stays(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as folder:
        (folder / "part").write_text("whole")
    assert os.listdir(tmp_path / "empty") == ["part"]
    with pytest.raises(InputError, match="cannot be written"), new_folder(tmp_path / "race"):
        (tmp_path / "race").mkdir()
        (tmp_path / "race" / "theirs").write_text("mine")
    assert os.listdir(tmp_path / "race") == ["theirs"]
    assert sorted(os.listdir(tmp_path)) == ["empty", "race"]


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be written"), new_file(tmp_path / "file" / "out", "mark"):
        pass


@pytest.mark.parametrize(
    ("to", "words"), [("graphlm", "did you mean 'graphml'"), ("rdf", "release, graphml, skos, neo4j")]
)
def test_an_unknown_format(shirts: ConceptGraph, tmp_path: Path, to: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        export_graph(shirts, to, tmp_path / "out")


def test_an_option_of_another_format(shirts: ConceptGraph, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--base=.* is for --to=skos"):
        export_graph(shirts, "neo4j", tmp_path / "out", base="urn:a:")
