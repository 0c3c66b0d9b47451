"""metrics.jsonl: plain lines, cut where a resumed run goes on, and no reason to lose a run."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest

from easynlp_fashionklip.training.metrics_log import FILE_NAME, MetricsLog, cut


def lines(folder: Path) -> list[dict[str, float | None]]:
    return [json.loads(line) for line in (folder / FILE_NAME).read_text().splitlines()]


def test_lines_and_listeners(tmp_path: Path) -> None:
    heard: list[tuple[int, dict[str, float]]] = []
    log = MetricsLog(tmp_path, [lambda values, step: heard.append((step, dict(values)))])
    assert log.position == 0
    log.write(1, {"train/loss": 0.5})
    log.write(2, {"train/loss": math.nan, "train/lr": 1e-3})
    assert lines(tmp_path) == [{"step": 1, "train/loss": 0.5}, {"step": 2, "train/loss": None, "train/lr": 1e-3}]
    assert heard == [(1, {"train/loss": 0.5}), (2, {"train/lr": 1e-3})]
    assert log.position == (tmp_path / FILE_NAME).stat().st_size


def test_cut_at_the_position_of_a_resume_point(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write(1, {"a": 1.0})
    log.write(2, {"a": 2.0})
    position = log.position
    log.write(2, {"refresh/seconds": 1.0})  # after the point was saved: it will be done again
    log.write(3, {"a": 3.0})
    cut(log.path, 2, position)
    assert lines(tmp_path) == [{"step": 1, "a": 1.0}, {"step": 2, "a": 2.0}]
    cut(log.path, 0, 0)
    assert log.path.read_bytes() == b""


def test_cut_by_steps_where_the_file_is_another(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    cut(path, 3)
    assert not path.exists()
    kept = "".join(json.dumps({"step": step, "a": 1.0}) + "\n" for step in (1, 2, 2))
    path.write_text(kept + json.dumps({"step": 3}) + '\n{"step": 2, "tr')
    cut(path, 2, position=5)  # in the middle of a line
    assert path.read_text() == kept
    cut(path, 2, position=10_000)
    assert path.read_text() == kept


def test_a_full_disk_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def full(values: object, step: int) -> None:
        raise OSError(28, "No space left on device")

    log = MetricsLog(tmp_path, [full])
    with caplog.at_level(logging.WARNING):
        log.write(1, {"a": 1.0})
        log.write(2, {"a": 1.0})
    assert caplog.text.count("No space left") == 1
    assert len(lines(tmp_path)) == 2
