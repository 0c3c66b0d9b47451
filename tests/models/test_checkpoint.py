"""Reading and writing of checkpoint folders."""

from __future__ import annotations

import pickle
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models import checkpoint


def test_both_weight_files_hold_the_same_tensors(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "scale": torch.tensor(2.5)}
    checkpoint.write_tensors(tmp_path, tensors)
    first, second = load_file(tmp_path / "model.safetensors"), torch.load(tmp_path / "pytorch_model.bin")
    for found in (first, second):
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[key], tensors[key]) for key in tensors)


def test_weight_files_have_the_same_permissions(tmp_path: Path) -> None:
    checkpoint.write_tensors(tmp_path, {"a": torch.zeros(1)})
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("model.safetensors", "pytorch_model.bin")}
    assert len(modes) == 1


def test_safetensors_is_preferred(tmp_path: Path) -> None:
    checkpoint.write_tensors(tmp_path, {"a": torch.ones(1)})
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert checkpoint.read_tensors(tmp_path)["a"].item() == 1
    (tmp_path / "model.safetensors").unlink()
    assert checkpoint.read_tensors(tmp_path)["a"].item() == 0


class Dangerous:
    def __reduce__(self) -> None:
        return (exec, ("raise SystemExit('code of a checkpoint was run')",))


def test_code_in_a_torch_file_is_not_run(tmp_path: Path) -> None:
    with (tmp_path / "pytorch_model.bin").open("wb") as stream:
        pickle.dump(Dangerous(), stream)
    with pytest.raises(InputError, match="is refused: beside weights it asks for builtins.exec"):
        checkpoint.read_tensors(tmp_path)


def test_torch_file_with_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="holds a list"):
        checkpoint.read_tensors(tmp_path)


def test_failed_writing_leaves_the_old_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("old")

    def write(folder: Path) -> None:
        (folder / "config.json").write_text("new")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        checkpoint.write_folder(tmp_path, write)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_text() == "old"


def test_config_is_moved_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    monkeypatch.setattr(checkpoint.os, "replace", lambda source, target: moved.append(target.name))

    def write(folder: Path) -> None:
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            (folder / name).touch()

    checkpoint.write_folder(tmp_path, write)
    assert moved[-1] == "config.json"
    assert len(moved) == 3


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/checkpoint cannot be written"):
        checkpoint.write_folder(tmp_path / "file" / "checkpoint", lambda folder: None)


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_config_that_is_no_json_object_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match="config.json"):
        checkpoint.read_config(tmp_path)


def test_missing_config_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config.json.*it is empty"):
        checkpoint.read_config(tmp_path)
    for number in range(10):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(InputError, match=r"it holds 0.txt, .*7.txt and 2 more"):
        checkpoint.read_config(tmp_path)
