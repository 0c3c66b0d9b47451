"""Batches, tables, rates, folders and resume points that cannot be trained with: one sentence, nothing written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from easynlp_fashionklip.app import resume_points

Run = Callable[..., Any]
TINY = "pretrain_model_name_or_path=tiny min_frequency=1"
QUICK = ("--micro_batch_size=8", "--epoch_num=2", "--data_threads=0", "--random_seed=42", "--learning_rate=1e-3")


@pytest.fixture
def refused(catalogue: Path, tmp_path: Path, easynlp_here: Run, arguments: Run) -> Run:
    """Tries to train into tmp_path/out, which must not appear; the sentence."""

    def run(*more: str, parameters: str = TINY, table: str | Path = "", out: Path = tmp_path / "out") -> str:
        there = out.exists()
        argv = arguments("train", table or catalogue / "train.csv", f"--checkpoint_dir={out}", *QUICK, *more)
        argv = [f"--user_defined_parameters={parameters}" if "user_defined" in word else word for word in argv]
        outcome = easynlp_here(argv)
        assert outcome.code == 2, outcome.err
        assert "Traceback" not in outcome.err
        assert out.exists() == there
        (sentence,) = (line for line in outcome.err.splitlines() if line.startswith("error: "))
        return str(sentence)

    return run


@pytest.mark.parametrize("rate", ["0", "1e3", "nan", "-1"])
def test_learning_rates_that_no_model_survives(refused: Run, rate: str) -> None:
    assert "--learning_rate" in refused(f"--learning_rate={rate}")


@pytest.mark.parametrize("flag", ["max_grad_norm=-1", "weight_decay=-1", "warmup_proportion=2"])
def test_numbers_out_of_range(refused: Run, flag: str) -> None:
    assert f"--{flag} is out of range" in refused(f"--{flag}")


def test_a_batch_of_one(refused: Run) -> None:
    assert "--micro_batch_size=1 compares" in refused("--micro_batch_size=1")
    assert "contrastive_batch_size=1 compares" in refused(parameters=f"{TINY} contrastive_batch_size=1")


def test_one_product(refused: Run, tmp_path: Path, rows_of: Run, write_table: Run) -> None:
    rows = [["p0", *rest] for _, *rest in rows_of(tmp_path, 16)]
    table = write_table(tmp_path / "one.csv", rows)
    sentence = refused(table=table, parameters=f"{TINY} duplicate_ids=allow")
    assert "all 16 usable rows are of one product, 'p0'" in sentence


def test_wandb_that_is_not_installed(refused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "wandb" else real(name, *a))
    assert "pip install wandb" in refused(parameters=f"{TINY} wandb_project=fashion")


# ---- resume points


def resume(folder: Path) -> str:
    return f"--resume_from_checkpoint={folder}"


def test_another_batch_size(refused: Run, trained: Path) -> None:
    sentence = refused("--micro_batch_size=4", resume(trained))
    assert "4 batches an epoch, this run has 8" in sentence


def test_another_model(refused: Run, trained: Path, tmp_path: Path) -> None:
    import torch

    point = tmp_path / "points" / "pytorch_model_step_8"
    shutil.copytree(trained, point.parent)
    weights, state = resume_points.read(point)
    weights["logit_scale_of_another"] = torch.zeros(1)
    resume_points.write(point.parent, 8, weights, state)
    assert "holds another model" in refused(resume(point))


def test_a_changed_catalogue(refused: Run, trained: Path, tmp_path: Path, rows_of: Run, write_table: Run) -> None:
    rows = rows_of(tmp_path, 32)
    more = write_table(tmp_path / "more.csv", [*rows, *([f"q{n}", *row[1:]] for n, row in enumerate(rows[:3]))])
    assert "other rows or pictures (32 rows, here 35)" in refused(resume(trained), table=more)
    rows[7][2] += " and a belt"
    edited = write_table(tmp_path / "edited.csv", rows)
    assert "other rows or pictures (32 rows, here 32)" in refused(resume(trained), table=edited)
    rows[7], rows[8] = rows[8], rows[7]
    assert "other rows" in refused(resume(trained), table=write_table(tmp_path / "swapped.csv", rows))


def test_a_changed_picture(refused: Run, trained: Path, tmp_path: Path, rows_of: Run, write_table: Run) -> None:
    table = write_table(tmp_path / "same.csv", rows_of(tmp_path, 32))
    with (tmp_path / "images" / "p7.png").open("ab") as picture:
        picture.write(b"\0")
    assert "other rows or pictures (32 rows, here 32)" in refused(resume(trained), table=table)


def test_another_loss(refused: Run, trained: Path) -> None:
    sentence = refused(resume(trained), parameters=f"{TINY} itc_loss=sigmoid")
    assert "was saved with another itc_loss" in sentence


def test_with_and_without_a_graph(refused: Run, trained: Path) -> None:
    assert "another concept graph" in refused(resume(trained), parameters=f"{TINY} cva=false")
    assert "another concept graph" in refused(resume(trained), parameters=f"{TINY.replace('=1', '=2')}")


def test_a_point_of_an_older_version(refused: Run, trained: Path, tmp_path: Path) -> None:
    weights, state = resume_points.read(trained / "pytorch_model_step_8")
    del state["format"]
    prefix = resume_points.write(tmp_path, 8, weights, state)
    assert "saved by another version" in refused(resume(prefix))


def test_other_settings_are_told_but_allowed(
    trained: Path, catalogue: Path, tmp_path: Path, easynlp_here: Run, arguments: Run
) -> None:
    argv = arguments("train", catalogue / "train.csv", f"--checkpoint_dir={tmp_path / 'out'}", *QUICK, resume(trained))
    outcome = easynlp_here([*argv, "--learning_rate=5e-4"])
    assert outcome.code == 0, outcome.err
    assert "resuming with other settings: learning_rate=0.0005 (was 0.001);" in outcome.err


# ---- disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 500 kB, where this user may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = shutil.which("mount") and os.geteuid() == 0
    if not made or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", folder]).returncode:
        pytest.skip("only root may mount, and not everywhere")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_read_only_disk(refused: Run, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert "may not be written" in refused(out=small_disk / "out")
    assert "may not be written" in refused(out=small_disk)


def test_a_disk_that_is_full(refused: Run, small_disk: Path) -> None:
    sentence = refused(out=small_disk)  # two copies of the model's weights and its moments need more
    assert "cannot be written" in sentence
    assert not list(small_disk.glob("*.part")) and not list(small_disk.glob(".writing*"))
