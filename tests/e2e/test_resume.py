"""A run that is killed at any point and resumed equals, bit for bit, one that was not."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from killing import DieAt, Run

pytest.importorskip("easynlp")
pytestmark = pytest.mark.usefixtures("scripts_on_the_cpu")

# What depends on the clock and the machine, not on the arithmetic.
TIMED = ("samples_per_second", "memory_bytes", "data_wait", "refresh/seconds", "refresh/share")
STEPS = 8


@pytest.fixture(scope="module")
def argv_of(catalogue: Path, arguments: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """argv of a run of two epochs that saves every third step and keeps two points."""

    def argv(folder: Path, *more: str, batch: int = 8, parameters: str = "") -> list[str]:
        return arguments(
            "train",
            f"{catalogue / 'train.csv'},{catalogue / 'valid.csv'}",
            f"--checkpoint_dir={folder}",
            "--epoch_num=2",
            "--learning_rate=1e-3",
            f"--micro_batch_size={batch}",
            "--random_seed=42",
            "--data_threads=0",
            "--save_checkpoint_steps=3",
            *more,
            parameters="pretrain_model_name_or_path=tiny min_frequency=1 keep_checkpoints=2 refresh_steps=2 "
            f"refresh_tolerance=0.01 precision=fp32 {parameters}",
        )

    return argv


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "log" / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.endswith(TIMED)} for line in lines]


def point(folder: Path) -> dict[str, Any]:
    return torch.load(folder / f"pytorch_model_step_{STEPS}.meta.bin", weights_only=True)


def assert_same(one: Any, other: Any, path: str = "") -> None:
    """The same values, bit for bit, whatever they are nested in."""
    assert type(one) is type(other), path
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            if key != "metrics_position":
                assert_same(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for number, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, theirs, f"{path}/{number}")
    else:
        assert one == other, path


def assert_equal_runs(whole: Path, resumed: Path) -> None:
    """The same metrics, weights, moments, random state, bank and prototypes."""
    assert metrics(resumed) == metrics(whole)
    for suffix in (".bin", ".meta.bin"):
        name = f"pytorch_model_step_{STEPS}{suffix}"
        assert_same(*(torch.load(folder / name, weights_only=True) for folder in (whole, resumed)))
    assert (whole / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(argv_of: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody killed."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    run = Run(argv_of(folder), folder.with_name("log.txt"))
    assert run.wait() == [0], run.said
    assert [line["step"] for line in metrics(folder) if "train/loss" in line] == list(range(1, STEPS + 1))
    return folder


def resume(argv: list[str], folder: Path, world: int = 1) -> str:
    """Go on from the folder, or from the start where no point was saved yet; what was said."""
    saved = any(folder.glob("pytorch_model_step_*.meta.bin"))
    more = [f"--resume_from_checkpoint={folder}"] if saved else []
    run = Run([*argv, *more], folder.with_name("resumed.txt"), world)
    assert run.wait() == [0] * world, run.said
    return run.said


@pytest.mark.parametrize(
    "death",
    [
        DieAt("replace", 1, suffix=".meta.bin"),  # all of the first point is there but its mark
        DieAt("replace", 1, suffix=".meta.bin", after=True),
        DieAt("replace", 1, suffix="step_4.bin"),
        DieAt("replace", 1, suffix="step_6.json", after=True),
        DieAt("replace", 2, suffix="model.safetensors", after=True),  # of the best model's files one is new
        DieAt("fsync", 25),
        DieAt("unlink", 1, after=True),
    ],
    ids=lambda death: f"{death.function}-{death.call}{death.suffix}-{'after' if death.after else 'before'}",
)
def test_killed_while_saving(death: DieAt, whole: Path, argv_of: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run = Run(argv_of(folder), tmp_path / "killed.txt", hook=death)
    assert run.wait() == [-9], run.said
    resume(argv_of(folder), folder)
    assert_equal_runs(whole, folder)


@pytest.mark.parametrize("step", [1, 5, 7])
def test_killed_between_steps(step: int, whole: Path, argv_of: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run = Run(argv_of(folder), tmp_path / "killed.txt")
    kill_at(run, folder, step)
    resume(argv_of(folder), folder)
    assert_equal_runs(whole, folder)


def test_all_other_ways_to_train_killed(argv_of: Any, tmp_path: Path) -> None:
    """Gradient caching, sigmoid, tiles, grouped batches, an uneven end, checkpointing and kept prompts, at once."""
    parameters = (
        "contrastive_batch_size=8 itc_loss=sigmoid loss_chunk=3 batch_sampler=grouped drop_last=false "
        "gradient_checkpointing=true"
    )
    folders = [tmp_path / name / "out" for name in ("whole", "killed")]
    for folder in folders:
        folder.parent.mkdir()
    argvs = [argv_of(folder, batch=4, parameters=parameters) for folder in folders]
    run = Run(argvs[0], tmp_path / "whole.txt")
    assert run.wait() == [0], run.said
    for told in (f"{STEPS} (2 epochs", "micro-batches of 4", "grouped", "less with gradient_checkpointing"):
        assert told in run.said, told  # in the table of what will run
    kill_at(Run(argvs[1], tmp_path / "killed.txt"), folders[1], 5)
    resume(argvs[1], folders[1])
    assert_equal_runs(*folders)
    assert point(folders[1])["itc"]
    assert point(folders[1])["prompts"] is not None


def kill_at(run: Run, folder: Path, step: int) -> None:
    """Kill -9 once a step's line is written."""
    path, end = folder / "log" / "metrics.jsonl", time.monotonic() + 120
    while time.monotonic() < end and run.processes[0].is_alive():
        if path.is_file() and path.read_text().count("train/loss") >= step:
            break
        time.sleep(0.001)
    run.kill()


def test_killed_again_and_again(whole: Path, argv_of: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for step in (4, 5, 8):
        more = [f"--resume_from_checkpoint={folder}"] if any(folder.glob("*.meta.bin")) else []
        kill_at(Run([*argv_of(folder), *more], tmp_path / f"{step}.txt"), folder, step)
    resume(argv_of(folder), folder)
    assert_equal_runs(whole, folder)


def test_two_processes_killed(argv_of: Any, tmp_path: Path) -> None:
    folders = [tmp_path / name / "out" for name in ("whole", "killed")]
    argvs = []
    for folder in folders:
        folder.parent.mkdir()
        argvs.append(argv_of(folder, "--worker_cpu=2", batch=4, parameters="train_layers=1"))
    run = Run(argvs[0], tmp_path / "whole.txt", world=2)
    assert run.wait() == [0, 0], run.said
    kill_at(Run(argvs[1], tmp_path / "killed.txt", world=2), folders[1], 5)
    resume(argvs[1], folders[1], world=2)
    assert_equal_runs(*folders)
    assert len(point(folders[1])["random"]) == 2
