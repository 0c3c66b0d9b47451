"""Resume points: whole or not there, checked by their sums, the oldest thrown away."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest
import torch

from easynlp_fashionklip.app import resume_points
from easynlp_fashionklip.errors import InputError


def point(folder: Path, step: int) -> Path:
    return resume_points.write(folder, step, {"w": torch.tensor([float(step)])}, {"global_step": step})


def step_of(source: object) -> int:
    weights, state = resume_points.read(resume_points.find(str(source)))
    assert weights["w"].item() == state["global_step"]
    return int(state["global_step"])


def flip(path: Path) -> None:
    """One bit in the middle of the file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_written_files_and_what_is_found(tmp_path: Path) -> None:
    point(tmp_path, 9)
    prefix = point(tmp_path, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"pytorch_model_step_{step}{suffix}" for step in (10, 9) for suffix in (".bin", ".json", ".meta.bin")
    ]
    assert resume_points.steps_in(tmp_path) == [9, 10]
    assert step_of(prefix) == step_of(tmp_path) == 10
    assert step_of(tmp_path / "pytorch_model_step_9") == 9


def test_without_its_mark_a_point_is_none(tmp_path: Path) -> None:
    for step in (1, 2):
        point(tmp_path, step)
    (tmp_path / "pytorch_model_step_2.meta.bin").unlink()
    assert step_of(tmp_path) == 1
    with pytest.raises(InputError, match=r"pytorch_model_step_2\.meta\.bin does not exist"):
        resume_points.find(str(tmp_path / "pytorch_model_step_2"))


@pytest.mark.parametrize("suffix", [".bin", ".meta.bin"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "gone"])
def test_a_damaged_newest_one_is_said_and_the_one_before_taken(
    tmp_path: Path, suffix: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (3, 4):
        prefix = point(tmp_path, step)
    path = resume_points.file_of(prefix, suffix)
    if damage == "flipped":
        flip(path)
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] if damage == "truncated" else b"")
    with caplog.at_level(logging.WARNING):
        assert step_of(tmp_path) == 3
    if (suffix, damage) != (".meta.bin", "gone"):
        assert f"step_4{suffix} is damaged" in caplog.text
        with pytest.raises(InputError, match=rf"step_4{suffix} (is damaged|does not exist).*give an?"):
            resume_points.find(str(prefix))


def test_when_all_are_damaged(tmp_path: Path) -> None:
    for step in (3, 4):
        flip(resume_points.file_of(point(tmp_path, step), ".bin"))
    with pytest.raises(InputError, match=r"step_4\.bin is damaged .* no intact one before it"):
        resume_points.find(str(tmp_path))


def test_a_mixture_of_two_points_of_one_step_is_damaged(tmp_path: Path) -> None:
    point(tmp_path, 4)
    old = (tmp_path / "pytorch_model_step_4.meta.bin").read_bytes()
    resume_points.write(tmp_path, 4, {"w": torch.tensor([4.0])}, {"global_step": 4, "more": 1})
    (tmp_path / "pytorch_model_step_4.meta.bin").write_bytes(old)
    with pytest.raises(InputError, match=r"step_4\.meta\.bin is damaged"):
        resume_points.find(str(tmp_path))


def test_points_without_sums_are_tried(tmp_path: Path) -> None:
    prefix = point(tmp_path, 4)
    resume_points.file_of(prefix, ".json").unlink()
    assert step_of(tmp_path) == 4
    resume_points.file_of(prefix, ".bin").write_bytes(b"words")
    with pytest.raises(InputError, match=r"step_4\.bin is damaged"):
        resume_points.find(str(tmp_path))


def test_a_resume_point_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "run"),)

    prefix = point(tmp_path, 4)
    torch.save({"global_step": Evil()}, resume_points.file_of(prefix, ".meta.bin"))
    resume_points.file_of(prefix, ".json").unlink()
    with pytest.raises(InputError):
        resume_points.find(str(tmp_path))
    with pytest.raises(InputError):
        resume_points.read(prefix)
    assert not (tmp_path / "run").exists()


def test_no_point(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pytorch_model_step_"):
        resume_points.require(str(tmp_path))
    with pytest.raises(InputError, match="does not exist"):
        resume_points.require(str(tmp_path / "pytorch_model_step_1"))


def test_rotation_removes_everything_of_the_others(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        point(tmp_path, step)
    (tmp_path / "pytorch_model_step_1.deepspeed" / "state").mkdir(parents=True)
    (tmp_path / "pytorch_model_step_7.bin.part").write_text("a killed run's")
    (tmp_path / "pytorch_model_step_8.bin").write_text("a killed run's")
    (tmp_path / "pytorch_model.bin").write_text("the best model")
    resume_points.keep_only(tmp_path, [2, 3])
    assert resume_points.steps_in(tmp_path) == [2, 3]
    names = {path.name for path in tmp_path.iterdir()}
    assert len(names) == 7 and "pytorch_model.bin" in names


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"step_2 cannot be written: the disk is full.*intact"):
        point(tmp_path, 2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_sums_are_those_of_the_files(tmp_path: Path) -> None:
    prefix = point(tmp_path, 5)
    sums = json.loads(resume_points.file_of(prefix, ".json").read_text())
    assert sums["step"] == 5
    for name, known in sums["files"].items():
        assert known["bytes"] == (tmp_path / name).stat().st_size
    assert resume_points.damage_of(prefix) is None
