"""Checkpoint folders and resume points: written whole, read back, refused when damaged."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from easynlp_fashionklip.app import checkpoints
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.zoo import load_pretrained


def point(folder: Path, step: int) -> Path:
    return checkpoints.write_resume_point(folder, step, {"w": torch.tensor([float(step)])}, {"global_step": step})


def test_best_model_in_easynlps_shape(tmp_path: Path) -> None:
    model = load_pretrained("tiny")
    args = Namespace(epoch_num=2.0, tables="a,b", use_amp=False, dtype=torch.float32, checkpoint_dir=str(tmp_path))
    checkpoints.write_best(tmp_path, model, args)
    written = json.loads((tmp_path / "train_config.json").read_text())
    assert written["app_name"] == "fashionklip"
    assert written["tables"] == "a,b"
    assert "dtype" not in written
    assert written["model_config"]["projection_dim"] == 32
    checkpoints.require_checkpoint(tmp_path)
    again = load_pretrained(tmp_path).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


def test_resume_point_by_prefix_and_the_newest_by_folder(tmp_path: Path) -> None:
    prefix = point(tmp_path, 9)
    point(tmp_path, 10)
    assert checkpoints.resume_points(tmp_path) == [9, 10]
    weights, state = checkpoints.read_resume_point(str(prefix))
    assert (float(weights["w"]), state["global_step"]) == (9.0, 9)
    assert checkpoints.read_resume_point(str(tmp_path))[1]["global_step"] == 10
    assert not list(tmp_path.glob("*.part"))


def test_a_point_whose_state_is_missing_does_not_count(tmp_path: Path) -> None:
    point(tmp_path, 1)
    point(tmp_path, 2)
    (tmp_path / "pytorch_model_step_2.meta.bin").unlink()
    assert checkpoints.resume_points(tmp_path) == [1]
    assert checkpoints.read_resume_point(str(tmp_path))[1]["global_step"] == 1
    with pytest.raises(InputError, match=r"pytorch_model_step_2\.meta\.bin does not exist"):
        checkpoints.read_resume_point(str(tmp_path / "pytorch_model_step_2"))


def test_removing_a_point(tmp_path: Path) -> None:
    point(tmp_path, 1)
    checkpoints.remove_resume_point(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []
    checkpoints.remove_resume_point(tmp_path, 1)


@pytest.mark.parametrize("suffix", [".bin", ".meta.bin"])
@pytest.mark.parametrize("content", [b"", b"words", None])
def test_damage_is_told(tmp_path: Path, suffix: str, content: bytes | None) -> None:
    point(tmp_path, 4)
    path = tmp_path / f"pytorch_model_step_4{suffix}"
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(InputError, match=f"step_4{suffix} is damaged"):
        checkpoints.read_resume_point(str(tmp_path))


def test_a_resume_point_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "run"),)

    point(tmp_path, 4)
    torch.save({"global_step": Evil()}, tmp_path / "pytorch_model_step_4.meta.bin")
    with pytest.raises(InputError):
        checkpoints.read_resume_point(str(tmp_path))
    assert not (tmp_path / "run").exists()


def test_other_apps_folders(tmp_path: Path) -> None:
    checkpoints.check_app(tmp_path)
    config = tmp_path / "train_config.json"
    config.write_text('{"app_name": "text_match"}')
    with pytest.raises(InputError, match="'text_match'"):
        checkpoints.require_checkpoint(tmp_path)
    for broken in ("{", "[1]"):
        config.write_text(broken)
        with pytest.raises(InputError, match="not valid JSON"):
            checkpoints.check_app(tmp_path)


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    checkpoints.require_writable(tmp_path / "new" / "deep")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        checkpoints.require_writable(tmp_path / "file" / "deep")
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        with pytest.raises(InputError, match="may not be written"):
            checkpoints.require_writable(locked / "out")


def test_history_is_cut_to_the_resumed_step(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    checkpoints.cut_history(path, 3)
    assert not path.exists()
    lines = [json.dumps({"step": step, "train/loss": 1.0}) for step in (1, 2, 2, 3, 4)]
    path.write_text("\n".join(lines) + '\n{"step": 2, "tr')
    checkpoints.cut_history(path, 2)
    assert path.read_text() == "\n".join(lines[:3]) + "\n"
    checkpoints.cut_history(path, 0)
    assert path.read_text() == ""
