"""One row of the ablation with one seed: graph, training, scores on the test table; taken up where it was stopped."""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import results
from results import Result
from rows import Row
from words import save_pipeline

from easynlp_fashionklip.config import parse_user_defined_parameters
from easynlp_fashionklip.distributed import device_name, local_device
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.run_folder import read_run
from easynlp_fashionklip.training.precision import NAMES, resolve_precision

TABLES = ("train.csv", "valid.csv", "test.csv", "test_queries.jsonl")
PROTOCOLS = {"retrieval": "fashiongen.full.v1", "search": "product_search.v1"}
SETTINGS = ("model", "px", "epochs", "batch", "learning_rate", "parameters")


@dataclass(frozen=True)
class Job:
    """A row on a catalogue with a seed, in a folder of its own."""

    options: argparse.Namespace
    data: Path
    row: str
    seed: int

    @property
    def folder(self) -> Path:
        """Where everything of this run is."""
        return Path(self.options.out) / self.data.name / self.row / f"seed{self.seed}"

    @property
    def settings(self) -> dict[str, str]:
        """What its scores depend on beside the row, the seed and the catalogue."""
        return {name: str(getattr(self.options, name)) for name in SETTINGS}

    @property
    def file(self) -> Path:
        """Where the results of its catalogue are."""
        return Path(self.options.results) / f"{self.data.name}.parquet"

    @property
    def result(self) -> Result | None:
        """Its result if there is one.

        Raises:
            InputError: it was made with other settings, or of other tables.
        """
        found = results.load(self.file).get((self.row, self.seed))
        tables = digest_of_tables(self.data)
        if found is not None and found.tables and tables and found.tables != tables:
            raise InputError(
                f"{self.file} has row {self.row}, seed {self.seed} of other tables than those in {self.data}; give "
                "other --results."
            )
        if found is not None and found.settings != self.settings:
            raise InputError(
                f"{self.file} has row {self.row}, seed {self.seed} with {found.settings}, this command has "
                f"{self.settings}; give other --results."
            )
        return found


@cache
def digest_of_tables(data: Path) -> str | None:
    """Of the bytes of a catalogue's tables; None where they are not all there."""
    if not all((data / name).is_file() for name in TABLES):
        return None
    return hashlib.blake2b(b"".join((data / name).read_bytes() for name in TABLES), digest_size=8).hexdigest()


def program(name: str, *flags: str) -> None:
    """Run a console script beside this interpreter, saying so; where it fails, having told why, this program ends."""
    command = [str(Path(sys.executable).with_name(name)), *flags]
    print("$ " + shlex.join([name, *flags]), flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)


def pipeline_of(options: argparse.Namespace, data: Path, row: Row) -> list[str]:
    """The setting of the pipeline that finds a row's concepts; none where it is the usual one."""
    if not row.words:
        return []
    folder = Path(options.out) / data.name / "single_words"
    save_pipeline(folder)  # always: one that was half written when a run was stopped must not be taken for whole
    return [f"spacy_model={folder}"]


def graph_of(options: argparse.Namespace, data: Path, row: Row) -> Path:
    """The folder of a catalogue's graph, mined once."""
    folder = Path(options.out) / data.name / ("graph_of_words" if row.words else "graph")
    if not (folder / "graph.json").is_file():
        program("fashionklip", "graph", "build", "--texts", str(data / "train.csv"), "--text", "caption", "--id",
                "product_id", "--set", shlex.join(pipeline_of(options, data, row)), "--out", str(folder))  # fmt: skip
    return folder


def train(job: Job, row: Row) -> float | None:
    """Train, or go on with training; the seconds this took, None if not in one go."""
    options, model = job.options, job.folder / "model"
    flags: list[str] = []
    if any(model.glob("pytorch_model_step_*.meta.bin")):
        flags.append(f"--resume_from_checkpoint={model}")
    elif "cva=false" not in row.parameters:
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(graph_of(options, job.data, row), model / "graph")
    shared = f"pretrain_model_name_or_path={options.model} image_size={options.px} {options.parameters}".strip()
    own = shlex.join([*row.parameters.split(), *pipeline_of(options, job.data, row)])
    started = time.perf_counter()
    program(
        "easynlp",
        "--app_name=fashionklip",
        "--mode=train",
        f"--tables={job.data / 'train.csv'},{job.data / 'valid.csv'}",
        "--first_sequence=caption",
        "--second_sequence=image",
        f"--checkpoint_dir={model}",
        f"--learning_rate={options.learning_rate}",
        f"--epoch_num={options.epochs}",
        f"--micro_batch_size={options.batch}",
        f"--random_seed={job.seed}",
        f"--user_defined_parameters={shared} {own}".strip(),
        *flags,
    )
    return None if flags else time.perf_counter() - started


def machine(parameters: str) -> str:
    """Device and number type that a training with these parameters computes with here."""
    asked = parse_user_defined_parameters(parameters).precision
    return f"{device_name()}, {NAMES[resolve_precision(local_device(), asked, use_amp=False)]}"


def best_on_valid(model: Path) -> float:
    """The mean recall on valid.csv, in percent, that chose the checkpoint."""
    lines = (model / "log" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return max(found["eval/mean_recall"] for found in map(json.loads, lines) if "eval/mean_recall" in found)


def score(job: Job, checkpoint: str, split: str) -> None:
    """Both protocols on one table, into the job's folder."""
    for name, protocol in PROTOCOLS.items():
        out = job.folder / name
        shutil.rmtree(out, ignore_errors=True)
        queries = ["--queries", str(job.data / f"{split}_queries.jsonl")] if name == "search" else []
        program(
            "fashionklip", "evaluate", "--protocol", protocol, "--checkpoint", checkpoint, "--tables",
            str(job.data / f"{split}.csv"), "--text", "caption", "--image", "image", "--image_size",
            str(job.options.px), *queries, "--out", str(out),
        )  # fmt: skip
        for page in ("report.html", "report.md"):
            (out / page).unlink()


def run(job: Job, row: Row) -> None:
    """Train, score on test.csv, add the result to the catalogue's, remove the weights."""
    job.folder.mkdir(parents=True, exist_ok=True)
    model = job.folder / "model"
    result = Result(job.row, job.seed, job.settings, digest_of_tables(job.data))
    if row.trained:
        result = replace(result, machine=machine(f"{job.options.parameters} {row.parameters}"), seconds=train(job, row))
        result = replace(result, valid_mean_recall=best_on_valid(model))
    if not job.options.tune:
        score(job, str(model) if row.trained else job.options.model, "test")
        runs = {name: results.without_texts(name, read_run(job.folder / name).run) for name in PROTOCOLS}
        result = replace(result, runs=runs)
    results.add(job.file, result)
    shutil.rmtree(model, ignore_errors=True)
