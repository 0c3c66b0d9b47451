"""Weights are data: nothing that a file holds is run, unless the user trusts it."""

from __future__ import annotations

import io
import logging
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor, nn

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.checkpoint import read_tensor_file
from easynlp_fashionklip.models.torch_file import read_torch_file, refuse_program
from easynlp_fashionklip.models.torchscript import is_torchscript

OPEN = f"{open.__module__}.open"  # "_io.open" since Python 3.12


class Touches:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def saved(kind: str, value: Any, path: Path) -> None:
    if kind == "pickle":
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_a_pickle_that_wants_more_is_refused_with_the_reason(kind: str, tmp_path: Path) -> None:
    saved(kind, {"a": torch.zeros(2), "b": Touches(tmp_path / "made")}, tmp_path / "bad.pt")
    with pytest.raises(InputError, match=r"bad.pt is refused: beside weights it asks for .*trust_pickle") as caught:
        read_torch_file(tmp_path / "bad.pt")
    assert kind == "pickle" or f"asks for {OPEN}" in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_a_trusted_pickle_is_run_and_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved("zip", {"a": torch.zeros(2), "b": Touches(tmp_path / "made")}, tmp_path / "bad.pt")
    with caplog.at_level(logging.WARNING):
        content = read_torch_file(tmp_path / "bad.pt", trust_pickle=True)
    assert torch.equal(content["a"], torch.zeros(2))
    assert (tmp_path / "made").exists()
    assert f"bad.pt asks for {OPEN} and is trusted: the program in it is run now" in caplog.text


def test_trust_is_not_needed_for_weights_and_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pt")
    with caplog.at_level(logging.WARNING):
        assert torch.equal(read_torch_file(tmp_path / "good.pt", trust_pickle=True)["a"], torch.ones(2))
    assert not caplog.text


class Fails:
    def __reduce__(self) -> tuple[Any, ...]:
        return (int, ("no number",))


def test_a_trusted_program_that_fails_is_told(tmp_path: Path) -> None:
    saved("zip", {"b": Fails()}, tmp_path / "bad.pt")
    with pytest.raises(InputError, match="cannot be loaded although it is trusted"):
        read_torch_file(tmp_path / "bad.pt", trust_pickle=True)


def test_looking_through_does_not_load(tmp_path: Path) -> None:
    saved("zip", {"b": Touches(tmp_path / "made")}, tmp_path / "bad.pt")
    with pytest.raises(InputError, match=rf"bad.pt is refused.*{re.escape(OPEN)}"):
        refuse_program(tmp_path / "bad.pt")
    assert refuse_program(tmp_path / "bad.pt", trust_pickle=True)
    torch.save({"a": torch.ones(2), "lr": np.float64(1)}, tmp_path / "good.pt")
    assert not refuse_program(tmp_path / "good.pt")
    assert not (tmp_path / "made").exists()


def test_a_whole_model_is_refused_and_can_be_trusted(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 3), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"asks for torch\.nn\.modules\.linear\.Linear"):
        read_tensor_file(tmp_path / "model.pt")
    assert list(read_tensor_file(tmp_path / "model.pt", trust_pickle=True)) == ["weight", "bias"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.pt cannot be read \(No such file or directory\)"):
        read_torch_file(tmp_path / "gone.pt")


def test_numbers_of_numpy_are_no_program(tmp_path: Path) -> None:
    torch.save({"lr": [np.float64(0.25), np.int64(3), np.float32(0.5)]}, tmp_path / "file.pt")
    assert read_torch_file(tmp_path / "file.pt")["lr"] == [0.25, 3, 0.5]


# -------------------------------------------------------------------------------------------------------- TorchScript


class Scripted(nn.Module):
    """Two parts, one of them twice, a buffer, an attribute, and numbers of several kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.second = nn.Sequential(nn.Linear(2, 2, bias=False), nn.LayerNorm(2))
        self.register_buffer("steps", torch.tensor([1, 2, 3]))
        self.register_buffer("halves", torch.arange(6).half().reshape(2, 3).T)
        self.sizes = [1, 2]
        self.label = "name"

    def forward(self, value: Tensor) -> Tensor:
        return self.second(self.first(value))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.jit.script(Scripted()).save(str(tmp_path / "scripted.pt"))
    return tmp_path / "scripted.pt"


def test_tensors_of_an_archive_are_those_that_torch_reads(archive: Path) -> None:
    wanted = torch.jit.load(str(archive)).state_dict()
    assert is_torchscript(archive)
    found = read_torch_file(archive)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)


class Writes(nn.Module):
    """Loaded by `torch.jit.load`, it writes a file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, value: Tensor) -> Tensor:
        return value

    @torch.jit.export
    def __getstate__(self) -> tuple[str, Tensor, bool]:
        return self.path, self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, Tensor, bool]) -> None:
        self.path = state[0]
        self.weight = state[1]
        self.training = state[2]
        torch.save(self.weight, self.path)


def test_the_program_of_an_archive_is_not_run(tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.jit.script(Writes(str(made))).save(str(tmp_path / "bad.pt"))
    with pytest.raises(InputError, match="bad.pt is refused: beside weights it asks for __setstate__"):
        read_tensor_file(tmp_path / "bad.pt")
    assert not made.exists()
    assert list(read_tensor_file(tmp_path / "bad.pt", trust_pickle=True)) == ["weight"]
    assert made.exists()  # so it would have been


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes], compression: int = 0) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


def test_a_pickle_inside_an_archive_cannot_import(archive: Path, tmp_path: Path) -> None:
    harm = pickle.dumps(Touches(tmp_path / "made"), protocol=2)
    bad = rewritten(archive, tmp_path / "bad.pt", lambda name, data: harm if name.endswith("/data.pkl") else data)
    with pytest.raises(InputError, match=rf"bad.pt is refused: beside weights it asks for {re.escape(OPEN)}"):
        read_torch_file(bad)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("entry", "change", "words"),
    [
        ("data/0", lambda data: data[:4], "cut short|multiple|size"),
        ("byteorder", lambda data: b"big", "big-endian"),
        ("data.pkl", lambda data: data[: len(data) // 2], "damaged"),
        ("data.pkl", lambda data: b"", "damaged"),
    ],
)
def test_damaged_archives_are_named(
    archive: Path, tmp_path: Path, entry: str, change: Callable[[bytes], bytes], words: str
) -> None:
    bad = rewritten(archive, tmp_path / "bad.pt", lambda name, data: change(data) if name.endswith(entry) else data)
    with pytest.raises(InputError, match=words):
        read_torch_file(bad)


def test_compressed_archives_are_refused(archive: Path, tmp_path: Path) -> None:
    bad = rewritten(archive, tmp_path / "bomb.pt", lambda _, data: data, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="is compressed"):
        read_torch_file(bad)


# ------------------------------------------------------------------------------------------------------------- damage


def originals() -> dict[str, bytes]:
    state = {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.ones(2).half()}
    files = {}
    for kind, options in (("zip", {}), ("legacy", {"_use_new_zipfile_serialization": False})):
        buffer = io.BytesIO()
        torch.save({"state_dict": state, "epoch": 1}, buffer, **options)
        files[kind] = buffer.getvalue()
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), buffer)
    return files | {"torchscript": buffer.getvalue(), "safetensors": save(state)}


ORIGINALS = originals()


FLIPS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)
HEALTH = [HealthCheck.function_scoped_fixture]


@pytest.mark.parametrize("kind", sorted(ORIGINALS))
@given(flips=FLIPS, keep=st.floats(0, 1))
@settings(max_examples=100, derandomize=True, database=None, deadline=None, suppress_health_check=HEALTH)
def test_damaged_files_are_told_in_a_sentence(
    kind: str, flips: list[tuple[int, int]], keep: float, tmp_path: Path
) -> None:
    read_damaged(kind, flips, keep, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(ORIGINALS))
@given(flips=FLIPS, keep=st.floats(0, 1))
@settings(max_examples=1000, derandomize=True, database=None, deadline=None, suppress_health_check=HEALTH)
def test_a_thousand_damaged_files_of_each_kind(
    kind: str, flips: list[tuple[int, int]], keep: float, tmp_path: Path
) -> None:
    read_damaged(kind, flips, keep, tmp_path)


def read_damaged(kind: str, flips: list[tuple[int, int]], keep: float, tmp_path: Path) -> None:
    content = bytearray(ORIGINALS[kind])
    for place, value in flips:
        content[place % len(content)] = value
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pt")
    path.write_bytes(content if keep > 0.5 else content[: int(2 * keep * len(content))])
    before = {entry.name for entry in tmp_path.iterdir()}
    try:
        read_tensor_file(path)
    except InputError as error:
        assert path.name in str(error)
    assert {entry.name for entry in tmp_path.iterdir()} == before
