"""DeepSpeed through the `easynlp` command: same losses as without, resumed, and loaded as any checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from easynlp_fashionklip.models.zoo import load_pretrained

pytest.importorskip("deepspeed", reason="the extra [deepspeed] is not installed")
pytest.importorskip("easynlp_fashionklip.app.build_engine", reason="the trainer does not choose its engine yet")

Run = Callable[..., Any]
CONFIGS = Path(__file__).parents[2] / "configs" / "deepspeed"
MODEL = "pretrain_model_name_or_path=tiny min_frequency=1 keep_checkpoints=9 precision=fp32"
NUMBERS = ("--learning_rate=1e-3", "--random_seed=42", "--data_threads=0", "--epoch_num=2")


def losses(folder: Path) -> dict[int, float]:
    """By optimizer step."""
    lines = next((folder / "log").glob("*.jsonl")).read_text().splitlines()
    return {entry["step"]: entry["train/loss"] for entry in map(json.loads, lines) if "train/loss" in entry}


@pytest.fixture(scope="module")
def plain(catalogue: Path, tmp_path_factory: pytest.TempPathFactory, easynlp_here: Run, arguments: Run) -> Path:
    """One process without DeepSpeed, global batches of 8."""
    folder = tmp_path_factory.mktemp("plain") / "out"
    argv = arguments("train", catalogue / "train.csv", f"--checkpoint_dir={folder}", *NUMBERS, "--micro_batch_size=8")
    outcome = easynlp_here(argv)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero1", "zero2", "zero3", "offload"])
def test_two_processes(
    catalogue: Path, tmp_path: Path, plain: Path, run_script: Run, arguments: Run, name: str
) -> None:
    def train(folder: Path, *more: str) -> dict[int, float]:
        settings = f"{MODEL} deepspeed_config={CONFIGS / name}.json graph_dir={tmp_path / 'graph'}"
        sizes = (f"--checkpoint_dir={folder}", "--micro_batch_size=4", "--worker_cpu=2", "--save_checkpoint_steps=3")
        argv = arguments("train", catalogue / "train.csv", *NUMBERS, *sizes, *more, parameters=settings)
        outcome = run_script("easynlp", argv, tmp_path)
        assert outcome.code == 0, outcome.out + outcome.err
        return losses(folder)

    whole = train(tmp_path / "whole")
    assert whole == pytest.approx(losses(plain), abs=1e-3)
    assert load_pretrained(str(tmp_path / "whole")).state_dict().keys() == load_pretrained("tiny").state_dict().keys()
    middle = tmp_path / "whole" / "pytorch_model_step_6"
    resumed = train(tmp_path / "resumed", f"--resume_from_checkpoint={middle}")
    assert resumed == {step: loss for step, loss in whole.items() if step > 6}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory); give the path of a JSON file"),
        ("{", "is not valid JSON"),
        ('{"zero_optimization": {"stage": 5}}', "zero_optimization.stage is 5, not 1, 2 or 3"),
    ],
)
def test_a_bad_file_is_told_before_anything_starts(
    catalogue: Path, tmp_path: Path, easynlp_here: Run, arguments: Run, content: str | None, words: str
) -> None:
    path = tmp_path / "zero.json"
    if content is not None:
        path.write_text(content)
    argv = arguments(
        "train",
        catalogue / "train.csv",
        f"--checkpoint_dir={tmp_path / 'out'}",
        parameters=f"{MODEL} deepspeed_config={path}",
    )
    outcome = easynlp_here(argv)
    assert outcome.code == 2
    assert words in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
