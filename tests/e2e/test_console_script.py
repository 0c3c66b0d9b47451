"""The three modes through the installed `easynlp` command, with one and with two processes, killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPModel

from easynlp_fashionklip.inference.encode import encode_texts
from easynlp_fashionklip.models.zoo import load_pretrained

Run = Callable[..., Any]
SETTINGS = ("--learning_rate=1e-3", "--random_seed=42", "--data_threads=0")
EPOCHS = 6


def train_arguments(catalogue: Path, folder: Path, arguments: Run, *more: str) -> list[str]:
    tables = f"{catalogue / 'train.csv'},{catalogue / 'valid.csv'}"
    return arguments("train", tables, f"--checkpoint_dir={folder}", *SETTINGS, *more)


def first_loss(folder: Path) -> float:
    lines = map(json.loads, (folder / "log" / "metrics.jsonl").read_text().splitlines())
    return next(float(line["train/loss"]) for line in lines if "train/loss" in line)


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of the newest resume point: the model after the last step, be it the best or not."""
    newest = max(folder.glob("pytorch_model_step_*[0-9].bin"), key=lambda path: int(path.stem.rsplit("_", 1)[1]))
    weights: dict[str, torch.Tensor] = torch.load(newest, weights_only=True)
    return weights


def assert_same_weights(one: Path, other: Path, atol: float) -> None:
    first, second = last_weights(one), last_weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        # A key bias shifts all logits of a softmax alike: its gradient is rounding, which Adam blows up to full steps.
        if not name.endswith("k_proj.bias"):
            difference = float((value - second[name]).abs().max())
            assert difference <= atol, f"{name} differs by {difference}"


# ---- train


@pytest.fixture(scope="module")
def one_process(catalogue: Path, tmp_path_factory: pytest.TempPathFactory, run_script: Run, arguments: Run) -> Any:
    """(folder, outcome) of an epoch on one process, batches of 8."""
    folder = tmp_path_factory.mktemp("one") / "out"
    argv = train_arguments(catalogue, folder, arguments, "--micro_batch_size=8", "--epoch_num=1")
    return folder, run_script("easynlp", argv, folder.parent)


@pytest.fixture(scope="module")
def two_processes(catalogue: Path, tmp_path_factory: pytest.TempPathFactory, run_script: Run, arguments: Run) -> Any:
    """(folder, outcome) of the same epoch on two processes, batches of 2 x 4."""
    folder = tmp_path_factory.mktemp("two") / "out"
    argv = train_arguments(catalogue, folder, arguments, "--micro_batch_size=4", "--epoch_num=1", "--worker_cpu=2")
    return folder, run_script("easynlp", argv, folder.parent)


def test_training_is_quiet_on_stdout_and_short_on_stderr(one_process: Any, two_processes: Any) -> None:
    for _, outcome in (one_process, two_processes):
        assert outcome.code == 0, outcome.err
        assert outcome.out == ""
        assert "Warning" not in outcome.err
        assert "Traceback" not in outcome.err
        assert outcome.err.count("mean recall") == 2  # after the epoch, and at the end
        assert outcome.err.count("building it from") == 1


def test_the_checkpoint_is_easynlps_and_transformers(one_process: Any) -> None:
    folder, _ = one_process
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "train_config.json",
        "graph",
        "log",
    } <= names
    assert not [name for name in names if name.endswith(".part") or name.startswith(".")]
    written = json.loads((folder / "train_config.json").read_text())
    assert written["app_name"] == "fashionklip"
    assert written["model_config"]["model_type"] == "clip"
    assert written["micro_batch_size"] == 8

    ours, theirs = load_pretrained(folder), CLIPModel.from_pretrained(folder).eval()
    pictures = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
    tokens = ours.processor.tokenize(["a red dress", "blue"])
    with torch.no_grad():
        outputs = theirs(pixel_values=pictures, **tokens)
        torch.testing.assert_close(ours.encode_image(pictures), outputs.image_embeds, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours.encode_text(**tokens), outputs.text_embeds, atol=1e-5, rtol=0)


def test_tensorboard_has_the_scalars(one_process: Any) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(one_process[0] / "log"))
    events.Reload()
    expected = ("loss", "itc_loss", "cva_loss", "cva_weight", "logit_scale", "lr", "samples_per_second")
    assert {f"train/{name}" for name in expected} | {"eval/mean_recall"} <= set(events.Tags()["scalars"])
    assert [scalar.step for scalar in events.Scalars("train/loss")] == [1, 2, 3, 4]


@pytest.mark.skipif(torch.cuda.is_available(), reason="with GPUs there is a process for each, whatever is asked for")
def test_two_processes_train_as_one_does(one_process: Any, two_processes: Any) -> None:
    assert first_loss(two_processes[0]) == pytest.approx(first_loss(one_process[0]), abs=1e-4)
    assert_same_weights(one_process[0], two_processes[0], atol=1e-4)


# ---- evaluate


@pytest.fixture(scope="module")
def evaluations(one_process: Any, catalogue: Path, run_script: Run, arguments: Run) -> list[Any]:
    """(outcome, evaluation.json) on one and on two processes."""
    folder, _ = one_process
    found = []
    for number in (1, 2):
        argv = arguments("evaluate", catalogue / "valid.csv", f"--checkpoint_dir={folder}", f"--worker_cpu={number}")
        outcome = run_script("easynlp", argv, folder.parent)
        assert outcome.code == 0, outcome.err
        found.append((outcome, json.loads((folder / "evaluation.json").read_text())))
    return found


def test_evaluation_file(evaluations: list[Any], one_process: Any) -> None:
    _, written = evaluations[0]
    for direction in ("image_to_text", "text_to_image"):
        assert written[f"{direction}_R@1"] <= written[f"{direction}_R@5"] <= written[f"{direction}_R@10"] <= 100
    expected = {"mean_recall", "protocol", "gallery_size", "seed", "hit_rule", "checkpoint"}
    assert expected <= set(written)
    assert written["gallery_size"] == 16
    assert written["checkpoint"] == str(one_process[0])


def test_two_processes_evaluate_as_one_does(evaluations: list[Any]) -> None:
    (one, written), (two, written_by_two) = evaluations
    assert written == written_by_two
    assert one.out == two.out
    assert one.out.splitlines()[1].split() == ["R@1", "R@5", "R@10", "MRR"]


# ---- predict


@pytest.fixture(scope="module")
def embeddings(one_process: Any, catalogue: Path, run_script: Run, arguments: Run) -> Path:
    """A TSV of both embeddings and two columns of the table, though two processes are asked for."""
    folder, _ = one_process
    output = folder.parent / "embeds" / "both.tsv"
    flags = (f"--outputs={output}", "--append_cols=product_id,caption", "--worker_cpu=2")
    argv = arguments("predict", catalogue / "valid.csv", f"--checkpoint_dir={folder}", *flags)
    outcome = run_script("easynlp", argv, folder.parent)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"16 rows written to {output}\n"
    return output


def test_predicted_embeddings_are_the_encoders(embeddings: Path, one_process: Any) -> None:
    rows = [line.split("\t") for line in embeddings.read_text().splitlines()]
    assert [row[2] for row in rows] == [f"v{number}" for number in range(16)]
    assert rows[0][3] == "red striped dress with number 0 pockets"
    texts, images = (np.array([[float(cell) for cell in row[part].split(",")] for row in rows]) for part in (0, 1))
    assert texts.shape == images.shape == (16, 32)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    model = load_pretrained(one_process[0])
    np.testing.assert_allclose(texts, encode_texts(model, [row[3] for row in rows]), atol=1e-5)


# ---- interrupted and resumed


@pytest.fixture(scope="module")
def uninterrupted(catalogue: Path, tmp_path_factory: pytest.TempPathFactory, easynlp_here: Run, arguments: Run) -> Path:
    """The run that the interrupted ones must equal in the end."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    argv = train_arguments(catalogue, folder, arguments, "--micro_batch_size=8", f"--epoch_num={EPOCHS}")
    outcome = easynlp_here(argv)
    assert outcome.code == 0, outcome.err
    return folder


def stop_after(process: subprocess.Popen[str], ready: Callable[[], bool], kind: signal.Signals) -> tuple[str, str]:
    """Send a signal to the script once `ready`; its stdout and stderr."""
    end = time.monotonic() + 120
    while not ready() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    if kind == signal.SIGKILL:
        os.killpg(process.pid, kind)
    else:
        process.send_signal(kind)
    return process.communicate(timeout=120)


def steps_done(folder: Path) -> int:
    path = folder / "log" / "metrics.jsonl"
    return path.read_text().count("train/loss") if path.is_file() else 0


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_then_resume_equals_an_uninterrupted_run(
    processes: int,
    uninterrupted: Path,
    catalogue: Path,
    tmp_path: Path,
    start_script: Run,
    easynlp_here: Run,
    run_script: Run,
    arguments: Run,
) -> None:
    folder = tmp_path / "out"
    numbers = (f"--micro_batch_size={8 // processes}", f"--epoch_num={EPOCHS}", f"--worker_cpu={processes}")
    argv = train_arguments(catalogue, folder, arguments, *numbers)
    process = start_script("easynlp", argv, tmp_path)
    _, err = stop_after(process, lambda: steps_done(folder) >= 2, signal.SIGINT)
    assert process.returncode == 130, err
    hints = [line for line in err.splitlines() if "--resume_from_checkpoint=" in line]
    assert len(hints) == 1, err
    assert "Traceback" not in err
    done = steps_done(folder)
    assert 2 <= done < 4 * EPOCHS

    resume = hints[0][hints[0].index("--resume_from_checkpoint=") :].split()[0]
    outcome = easynlp_here([*argv, resume]) if processes == 1 else run_script("easynlp", [*argv, resume], tmp_path)
    assert outcome.code == 0, outcome.err
    assert_same_weights(uninterrupted, folder, atol=1e-5 if processes == 1 else 1e-3)
    lines = (folder / "log" / "metrics.jsonl").read_text().splitlines()
    steps = [entry["step"] for entry in map(json.loads, lines) if "train/loss" in entry]
    assert steps == list(range(1, 4 * EPOCHS + 1))


def test_sigkill_then_resume_from_the_folder_equals_an_uninterrupted_run(
    uninterrupted: Path, catalogue: Path, tmp_path: Path, start_script: Run, easynlp_here: Run, arguments: Run
) -> None:
    folder = tmp_path / "out"
    argv = train_arguments(catalogue, folder, arguments, "--micro_batch_size=8", f"--epoch_num={EPOCHS}")
    process = start_script("easynlp", argv, tmp_path)
    stop_after(process, lambda: any(folder.glob("pytorch_model_step_*.meta.bin")), signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    outcome = easynlp_here([*argv, f"--resume_from_checkpoint={folder}"])
    assert outcome.code == 0, outcome.err
    assert_same_weights(uninterrupted, folder, atol=1e-5)
