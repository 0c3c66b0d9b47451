"""EasyNLP's own classes behind ours, and every other app left to EasyNLP."""

from __future__ import annotations

import argparse
import sys

import pytest

pytest.importorskip("easynlp")

from easynlp_fashionklip.app import compat
from easynlp_fashionklip.app.data import FashionKLIPDataset
from easynlp_fashionklip.app.evaluator import FashionKLIPEvaluator
from easynlp_fashionklip.app.model import FashionKLIP
from easynlp_fashionklip.app.predictor import FashionKLIPPredictor
from easynlp_fashionklip.app.trainer import FashionKLIPTrainer
from easynlp_fashionklip.cli import easynlp_main
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.errors import InputError

STOCK = "easynlp_fashionklip.app.stock"


def test_classes_are_easynlps() -> None:
    from easynlp.appzoo.application import Application
    from easynlp.appzoo.dataset import BaseDataset
    from easynlp.core.evaluator import Evaluator
    from easynlp.core.predictor import Predictor
    from easynlp.core.trainer import Trainer

    assert issubclass(FashionKLIP, Application)
    assert issubclass(FashionKLIPDataset, BaseDataset)
    assert issubclass(FashionKLIPTrainer, Trainer)
    assert issubclass(FashionKLIPEvaluator, Evaluator)
    assert issubclass(FashionKLIPPredictor, Predictor)


@pytest.mark.parametrize(
    "argv",
    [
        ["--app_name=text_classify", "--mode=train", "--user_defined_parameters=a=b"],
        ["--app_name", "clip"],
        ["--mode=train"],
        ["--app_name=fashionklipper"],
        [],
    ],
)
def test_other_apps_reach_easynlp_with_argv_untouched(monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    import easynlp.cli

    seen = []
    monkeypatch.delitem(sys.modules, STOCK, raising=False)
    monkeypatch.setattr(sys, "argv", ["easynlp", *argv])
    monkeypatch.setattr(easynlp.cli, "main", lambda: seen.append(list(sys.argv)))
    assert easynlp_main() == 0
    assert seen == [["easynlp", *argv]]


def test_without_easynlp_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, STOCK, raising=False)
    monkeypatch.setitem(sys.modules, "easynlp.cli", None)
    assert easynlp_main(["--app_name=clip"]) == 2
    assert "pip install --no-deps pai-easynlp==0.0.3" in capsys.readouterr().err


def test_the_parser_learns_our_app_and_stays_brief(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--app_name", choices=["clip"])
    parser.add_argument("--number", type=int)
    compat.extend_arguments(parser)
    args = parser.parse_args(["--app_name=fashionklip", "--local-rank=1"])
    assert (args.app_name, args.local_rank) == ("fashionklip", 1)
    with pytest.raises(InputError, match="number.*'x'"):
        parser.parse_args(["--number=x"])
    assert capsys.readouterr().err == ""


def test_help_lists_our_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert easynlp_main(["--app_name=fashionklip", "--help"]) == 0
    text = capsys.readouterr().out
    assert "cva_variant" in text
    assert f"(default: {AppConfig().cva_variant})" in text
