"""The evaluation benchmark compares like with like: both sides find the same hits."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "examples" / "benchmarks" / "evaluation.py"


def test_both_sides_agree(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("evaluation_benchmark", PROGRAM)
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    sizes = ["--rows=700", "--products=200", "--dim=24", "--sample=150", "--repeats=1", "--noise=1"]
    monkeypatch.setattr(sys, "argv", ["evaluation.py", *sizes])
    program.main()
    told = capsys.readouterr().out
    assert "the same hits at 1, 5 and 10: 300 of 300 queries" in told
    recalls = [float(one) for one in re.findall(r"R@\d+ ([\d.]+)", told)]
    assert recalls == sorted(recalls) and 5 < recalls[0] < recalls[2] < 100  # hits and misses both occur
