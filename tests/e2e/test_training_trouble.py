"""What goes wrong during training ends in one sentence, or is passed over and counted; nothing saved is lost."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from killing import Run

from easynlp_fashionklip.app import resume_points

pytest.importorskip("easynlp")


@pytest.fixture
def argv_of(catalogue: Path, tmp_path: Path, arguments: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """argv of two epochs of four batches into tmp_path/out."""

    def argv(*more: str, batch: int = 8, parameters: str = "", table: str | Path = "") -> list[str]:
        return arguments(
            "train",
            table or catalogue / "train.csv",
            f"--checkpoint_dir={tmp_path / 'out'}",
            "--epoch_num=2",
            "--learning_rate=1e-3",
            f"--micro_batch_size={batch}",
            "--data_threads=0",
            *more,
            parameters=f"pretrain_model_name_or_path=tiny min_frequency=1 cva=false {parameters}",
        )

    return argv


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def ended(run: Run, *codes: int) -> str:
    """The run ended by itself with these exit codes; what it said, without the bar."""
    assert run.wait() == list(codes), run.said
    assert "Traceback" not in run.said, run.said
    return run.said


def told(said: str) -> str:
    (sentence,) = {line for line in said.splitlines() if line.startswith("error: ")}
    return sentence


def losses(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "log" / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if "train/loss" in line]


class Poison:
    """A hook: these steps' losses are no numbers, on one rank alone where `rank` is given."""

    def __init__(self, *steps: int, rank: int = -1) -> None:
        self.steps, self.rank = steps, rank

    def __call__(self) -> None:
        from easynlp_fashionklip.app import trainer

        real, done = trainer.contrastive_step, 0

        def poisoned(task: Any, engine: Any, *args: Any) -> Any:
            nonlocal done
            done += 1
            result = real(task, engine, *args)
            if done in self.steps and self.rank in (-1, int(os.environ["RANK"])):
                next(p for p in task.parameters() if p.grad is not None).grad.mul_(torch.nan)
                return {**result, "loss": result["loss"] * torch.nan} if self.rank < 0 else result
            return result

        trainer.contrastive_step = poisoned  # type: ignore[assignment]


def test_a_loss_that_is_no_number_is_skipped_and_counted(argv_of: Any, folder: Path, tmp_path: Path) -> None:
    said = ended(Run(argv_of(), tmp_path / "log.txt", hook=Poison(3)), 0)
    assert "step 3 is skipped: loss nan" in said
    assert "1 steps skipped" in said
    lines = losses(folder)
    assert [line["train/loss"] is None for line in lines] == [step == 3 for step in range(1, 9)]
    assert [line["train/skipped_steps"] for line in lines] == [0, 0, 1, 1, 1, 1, 1, 1]
    state = torch.load(folder / "pytorch_model_step_8.meta.bin", weights_only=True)
    assert state["bad_steps"] == (1, 0)
    assert {float(moments["step"]) for moments in state["engine"]["optimizer"]["state"].values()} == {7.0}


def test_all_processes_skip_what_is_no_number_on_one(argv_of: Any, folder: Path, tmp_path: Path) -> None:
    said = ended(Run(argv_of(batch=4), tmp_path / "log.txt", world=2, hook=Poison(3, rank=1)), 0, 0)
    assert "step 3 is skipped" in said
    assert losses(folder)[-1]["train/skipped_steps"] == 1
    assert losses(folder)[-1]["train/loss"] is not None


def test_too_many_in_a_row_stop_the_run(argv_of: Any, folder: Path, tmp_path: Path) -> None:
    run = Run(argv_of(parameters="max_bad_steps=3"), tmp_path / "log.txt", hook=Poison(2, 5, 6, 7, 8))
    sentence = told(ended(run, 2))
    assert "stopped at step 7" in sentence and "3 steps in a row" in sentence
    assert "--learning_rate (now 0.001)" in sentence and "precision=fp32" in sentence
    assert losses(folder)[-1]["train/skipped_steps"] == 4
    assert resume_points.find(str(folder)).name == "pytorch_model_step_4"


def test_nothing_is_saved_while_no_step_succeeds(argv_of: Any, folder: Path, tmp_path: Path) -> None:
    run = Run(argv_of("--save_checkpoint_steps=2"), tmp_path / "log.txt", hook=Poison(5, 6))
    assert not Path(folder).exists()
    ended(run, 0)
    assert resume_points.steps_in(folder) == [8]


def test_a_last_step_without_a_number_loses_no_epoch(argv_of: Any, folder: Path, tmp_path: Path) -> None:
    said = ended(Run(argv_of("--epoch_num=1"), tmp_path / "log.txt", hook=Poison(4)), 0)
    assert (folder / "model.safetensors").is_file() and "1 steps skipped" in said


def test_several_last_steps_without_a_number(argv_of: Any, folder: Path, tmp_path: Path) -> None:
    said = ended(Run(argv_of(), tmp_path / "log.txt", hook=Poison(7, 8)), 0)
    assert "the last 2 steps of epoch 2 gave no number" in said
    assert resume_points.steps_in(folder) == [4] and (folder / "model.safetensors").is_file()
    sentence = told(ended(Run(argv_of("--epoch_num=1"), tmp_path / "none.txt", hook=Poison(1, 2, 3, 4)), 2))
    assert "ended without a model" in sentence and "4 of 4 steps" in sentence


def test_another_folder_gets_its_own_best_model(argv_of: Any, catalogue: Path, folder: Path, tmp_path: Path) -> None:
    tables = f"{catalogue / 'train.csv'},{catalogue / 'valid.csv'}"
    ended(Run(argv_of(table=tables), tmp_path / "log.txt"), 0)
    state = torch.load(folder / "pytorch_model_step_8.meta.bin", weights_only=True)
    weights = torch.load(folder / "pytorch_model_step_8.bin", weights_only=True)
    resume_points.write(folder, 8, weights, state | {"best_score": 100.0})  # which no later epoch can beat
    other = tmp_path / "other"
    more = (f"--resume_from_checkpoint={folder}", f"--checkpoint_dir={other}", "--epoch_num=3")
    ended(Run(argv_of(*more, table=tables), tmp_path / "more.txt"), 0)
    assert (other / "model.safetensors").is_file()


class FullDisk:
    """A hook: no file may grow beyond so many bytes, as on a disk that is full."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


@pytest.mark.parametrize(
    ("size", "what"), [(100_000, "checkpoint folder"), (300_000, "pytorch_model_step_8 cannot be written")]
)
def test_a_disk_that_fills_while_saving(argv_of: Any, folder: Path, tmp_path: Path, size: int, what: str) -> None:
    ended(Run(argv_of("--epoch_num=1"), tmp_path / "first.txt"), 0)
    before = {path.name: path.read_bytes() for path in folder.glob("pytorch_model*")}
    again = argv_of("--epoch_num=2", f"--resume_from_checkpoint={folder}")
    assert what in told(ended(Run(again, tmp_path / "full.txt", hook=FullDisk(size)), 2))
    assert not list(folder.glob("*.part")) and not list(folder.glob(".writing*"))
    if size == 100_000:
        assert {path.name: path.read_bytes() for path in folder.glob("pytorch_model*")} == before
    assert resume_points.find(str(folder)).name == "pytorch_model_step_4"
    ended(Run(again, tmp_path / "again.txt"), 0)
    assert resume_points.steps_in(folder) == [8]


def test_a_dead_process_ends_the_others(argv_of: Any, folder: Path, tmp_path: Path) -> None:
    run = Run(argv_of("--epoch_num=200", batch=4), tmp_path / "log.txt", world=2)
    wait_for(run, lambda: (folder / "log" / "metrics.jsonl").is_file() and len(losses(folder)) > 1)
    pid = run.processes[1].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    said = ended(run, 1, -9)
    assert "another process of this run has ended without a word" in told(said)


def test_a_dead_loader_process(argv_of: Any, folder: Path, tmp_path: Path) -> None:
    run = Run([*argv_of("--epoch_num=200"), "--data_threads=1"], tmp_path / "log.txt")
    wait_for(run, lambda: (folder / "log" / "metrics.jsonl").is_file() and len(losses(folder)) > 5)
    (loader,) = psutil.Process(run.processes[0].pid).children()
    loader.kill()
    sentence = told(ended(run, 2))
    assert "a process that decodes pictures died" in sentence and "data_workers" in sentence


def wait_for(run: Run, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not ready() and run.processes[0].is_alive() and time.monotonic() < end:
        time.sleep(0.01)
    assert ready(), run.said


def test_more_processes_than_products(argv_of: Any, tmp_path: Path, rows_of: Any, write_table: Any) -> None:
    table = write_table(tmp_path / "two.csv", rows_of(tmp_path, 2))
    sentence = told(ended(Run(argv_of(batch=1, table=table), tmp_path / "log.txt", world=3), 2, 2, 2))
    assert "two.csv" in sentence and "2" in sentence and "3" in sentence
