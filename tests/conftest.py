"""A catalogue of 40-pixel pictures, and the `easynlp` command in this process or as a real console script."""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

# The models of tests are so small that threads only wait for each other; child processes inherit the variable.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (20, 150, 40), "black": (20, 20, 20)}
GARMENTS = ("dress", "shirt", "skirt", "coat")
PATTERNS = ("striped", "plain")
COLUMNS = ("product_id", "image", "caption")
# In full precision: tests compare runs to the last digits.
MODEL = "pretrain_model_name_or_path=tiny min_frequency=1 precision=fp32"


@pytest.fixture
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide GPUs from the test and what it starts: their sums vary from run to run, and NCCL wants one a process."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(scope="module")
def scripts_on_the_cpu() -> Iterator[None]:
    """Hide GPUs from the scripts that a module's tests start, for the same reasons."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


def draw_product(path: Path, colour: str, garment: str, pattern: str, shift: int) -> None:
    """A garment as a shape of its colour on white."""
    image = Image.new("RGB", (40, 40), "white")
    pen = ImageDraw.Draw(image)
    height = 10 + 6 * GARMENTS.index(garment)
    pen.rectangle((8 + shift, 4, 30 + shift, 4 + height), fill=COLOURS[colour])
    if pattern == "striped":
        for line in range(6, 4 + height, 4):
            pen.line((8 + shift, line, 30 + shift, line), fill="white")
    image.save(path)


def product_rows(folder: Path, count: int, prefix: str = "p") -> list[list[str]]:
    """Draw `count` products into `folder/images`; rows of `COLUMNS`, every caption another."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        colour = list(COLOURS)[number % 4]
        garment = GARMENTS[number // 4 % 4]
        pattern = PATTERNS[number // 16 % 2]
        name = f"images/{prefix}{number}.png"
        draw_product(folder / name, colour, garment, pattern, number % 5)
        rows.append([f"{prefix}{number}", name, f"{colour} {pattern} {garment} with number {number} pockets"])
    return rows


def write_csv(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = COLUMNS) -> Path:
    """A CSV file with header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv (32 products) and valid.csv (16 others); tests must not change it."""
    folder = tmp_path_factory.mktemp("catalogue")
    write_csv(folder / "train.csv", product_rows(folder, 32))
    write_csv(folder / "valid.csv", product_rows(folder, 16, "v"))
    return folder


@pytest.fixture(scope="session")
def rows_of() -> Callable[..., list[list[str]]]:
    """See `product_rows`."""
    return product_rows


@pytest.fixture(scope="session")
def write_table() -> Callable[..., Path]:
    """See `write_csv`."""
    return write_csv


def easynlp_arguments(mode: str, table: str | Path, *more: str, parameters: str = MODEL) -> list[str]:
    """argv of our app over a table with the columns of `COLUMNS`; flags in `more` win."""
    return [
        "--app_name=fashionklip",
        f"--mode={mode}",
        f"--tables={table}",
        "--first_sequence=caption",
        "--second_sequence=image",
        f"--user_defined_parameters={parameters}",
        *more,
    ]


@pytest.fixture(scope="session")
def arguments() -> Callable[..., list[str]]:
    """See `easynlp_arguments`."""
    return easynlp_arguments


@contextlib.contextmanager
def _clean_process() -> Iterator[None]:
    """EasyNLP initialises once in a process's life; this lets every run be the first."""
    from torch import distributed as dist

    global_vars = importlib.import_module("easynlp.utils.global_vars")
    environment = dict(os.environ)
    try:
        yield
    finally:
        for name in ("_GLOBAL_ARGS", "_GLOBAL_TIMERS", "_GLOBAL_TENSORBOARD_WRITER"):
            setattr(global_vars, name, None)
        if dist.is_initialized():
            dist.destroy_process_group()
        os.environ.clear()
        os.environ.update(environment)


def run_command(main: Callable[[list[str]], int], argv: Sequence[str]) -> Outcome:
    """Run a console command's function in this process."""
    pytest.importorskip("easynlp")
    out, err = io.StringIO(), io.StringIO()
    with _clean_process(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(argv))
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def easynlp_here() -> Callable[..., Outcome]:
    """`easynlp ...` in this process, one worker: saves the seconds an interpreter takes to start."""
    from easynlp_fashionklip.cli import easynlp_main

    return lambda argv: run_command(easynlp_main, argv)


@pytest.fixture(scope="session")
def fashionklip_here() -> Callable[..., Outcome]:
    """`fashionklip ...` in this process."""
    from easynlp_fashionklip.cli import fashionklip_main

    return lambda argv: run_command(fashionklip_main, argv)


@pytest.fixture(scope="session")
def console_script() -> Callable[[str], str]:
    """Path of a console script beside this interpreter; skips the test where it is not installed."""

    def find(name: str) -> str:
        path = Path(sys.executable).with_name(name)
        if not path.is_file() or "easynlp_fashionklip" not in path.read_text(errors="replace"):
            pytest.skip(f"this package's console script {name!r} is not installed beside {sys.executable}")
        return str(path)

    return find


@pytest.fixture(scope="session")
def start_script(console_script: Callable[[str], str]) -> Callable[..., subprocess.Popen[str]]:
    """Starts a console script in its own process group, as a terminal does."""

    def start(name: str, argv: Sequence[str], folder: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [console_script(name), *argv],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.fixture(scope="session")
def run_script(start_script: Callable[..., subprocess.Popen[str]]) -> Callable[..., Outcome]:
    """Runs a console script to its end."""

    def run(name: str, argv: Sequence[str], folder: Path) -> Outcome:
        process = start_script(name, argv, folder)
        try:
            out, err = process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Outcome(process.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def trained(catalogue: Path, tmp_path_factory: pytest.TempPathFactory, easynlp_here: Callable[..., Outcome]) -> Path:
    """A checkpoint folder: `tiny`, two epochs of four batches; tests must not change it."""
    folder = tmp_path_factory.mktemp("trained") / "out"
    tables = f"{catalogue / 'train.csv'},{catalogue / 'valid.csv'}"
    numbers = ("--learning_rate=1e-3", "--epoch_num=2", "--micro_batch_size=8", "--random_seed=42", "--data_threads=0")
    outcome = easynlp_here(easynlp_arguments("train", tables, f"--checkpoint_dir={folder}", *numbers))
    assert outcome.code == 0, outcome.err
    return folder
