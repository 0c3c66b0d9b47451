"""Weights & Biases through a stand-in: the same run after a resume, never a reason to lose training."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.training.wandb_log import WandbLog, require_wandb


class Recorder:
    """What `wandb.init` and its run were called with."""

    def __init__(self) -> None:
        self.inits: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = 0
        self.fails: Exception | None = None

    def init(self, **arguments: Any) -> Recorder:
        if self.fails:
            raise self.fails
        self.inits.append(arguments)
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        if self.fails:
            raise self.fails
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder, module = Recorder(), types.ModuleType("wandb")
    module.__spec__ = types.SimpleNamespace(name="wandb")  # type: ignore[assignment]
    module.init = recorder.init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return recorder


def test_a_resumed_run_is_the_same_one(wandb: Recorder, tmp_path: Path) -> None:
    log = WandbLog("fashion", tmp_path, {"learning_rate": 1e-3}, resumed=False)
    log({"train/loss": 1.0}, 4)
    log.close()
    WandbLog("fashion", tmp_path, {}, resumed=True)
    WandbLog("fashion", tmp_path, {}, resumed=False)
    first, second, third = wandb.inits
    assert first["project"] == "fashion" and first["config"] == {"learning_rate": 1e-3}
    assert first["id"] == second["id"] != third["id"]
    assert (wandb.logged, wandb.finished) == ([(4, {"train/loss": 1.0})], 1)


def test_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    require_wandb("")
    with pytest.raises(InputError, match="wandb_project=fashion needs the package wandb.*pip install wandb"):
        require_wandb("fashion")


def test_where_it_cannot_start(wandb: Recorder, tmp_path: Path) -> None:
    wandb.fails = RuntimeError("no API key\nconfigured.")
    with pytest.raises(InputError, match=r"cannot start \(no API key configured\); set WANDB_MODE=offline"):
        WandbLog("fashion", tmp_path, {}, resumed=False)


def test_where_it_fails_later(wandb: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = WandbLog("fashion", tmp_path, {}, resumed=False)
    wandb.fails = RuntimeError("gone")
    with caplog.at_level(logging.WARNING):
        log({}, 1)
        log({}, 2)
    log.close()
    assert caplog.text.count("gone") == 1
    assert wandb.finished == 0
