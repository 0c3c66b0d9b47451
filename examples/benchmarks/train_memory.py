"""Peak memory of training on a small and on a large catalogue: it must not grow with the number of rows.

    python examples/benchmarks/train_memory.py --rows 7700 200000 --out out/train-memory

Each catalogue repeats the same few pictures and captions under unique product ids. The installed `easynlp` command
trains the same number of batches on each; a sampler adds up, five times a second, the proportional set size (memory
shared between processes counted once) and the resident set size of the main process and its workers. Needs psutil.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from PIL import Image, ImageDraw

COLOURS = ("red", "blue", "green", "black", "white", "pink", "orange", "grey")
GARMENTS = ("dress", "shirt", "skirt", "coat", "jumper", "top", "jacket", "scarf")
DETAILS = ("long sleeves", "a round neckline", "a hood", "side pockets", "a belt", "buttons", "a zip", "lace trim")
SIDE = 40
SECONDS_BETWEEN = 0.2
MIB = 1 << 20


@dataclass
class Peak:
    """Largest sums over a process and its children, in MiB."""

    proportional: float = 0.0
    resident: float = 0.0


def write_catalogue(folder: Path, rows: int) -> Path:
    """`rows` products over 64 pictures and 512 captions."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [(colour, garment) for colour in COLOURS for garment in GARMENTS]
    for number, (colour, _) in enumerate(kinds):
        image = Image.new("RGB", (SIDE, SIDE), "white")
        ImageDraw.Draw(image).rectangle((4, 4, 12 + number % 8 * 3, 36), fill=colour)
        image.save(folder / f"{number}.jpg")
    path = folder / f"train-{rows}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("product_id", "image", "caption"))
        for row in range(rows):
            number = row % len(kinds)
            colour, garment = kinds[number]
            detail = DETAILS[row // len(kinds) % len(DETAILS)]
            writer.writerow((f"{row:07d}", f"{number}.jpg", f"{colour.title()} {garment}. A {garment} with {detail}."))
    return path


def watch(process: subprocess.Popen[bytes]) -> Peak:
    """Sample until the process ends."""
    peak, root = Peak(), psutil.Process(process.pid)
    while process.poll() is None:
        proportional = resident = 0
        try:
            for one in (root, *root.children(recursive=True)):
                memory = one.memory_full_info()
                proportional += getattr(memory, "pss", memory.uss)
                resident += memory.rss
        except psutil.Error:  # a worker has just ended
            continue
        peak.proportional = max(peak.proportional, proportional / MIB)
        peak.resident = max(peak.resident, resident / MIB)
        time.sleep(SECONDS_BETWEEN)
    return peak


def train(table: Path, rows: int, options: argparse.Namespace) -> Peak:
    """Train `options.batches` batches and return the peak."""
    command = [
        str(Path(sys.executable).with_name("easynlp")),
        "--app_name=fashionklip",
        "--mode=train",
        f"--tables={table}",
        "--first_sequence=caption",
        "--second_sequence=image",
        f"--checkpoint_dir={options.out / f'run-{rows}'}",
        f"--epoch_num={options.batches / (rows // options.batch_size):.9f}",
        f"--micro_batch_size={options.batch_size}",
        f"--data_threads={options.workers}",
        f"--user_defined_parameters=pretrain_model_name_or_path={options.model} {options.settings}",
    ]
    process = subprocess.Popen(command)
    peak = watch(process)
    if process.returncode:
        raise SystemExit(process.returncode)
    return peak


def main() -> None:
    """Train on each catalogue and print the peaks and the ratio of the last to the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[7_700, 200_000])
    parser.add_argument("--out", type=Path, required=True, help="folder for catalogues and checkpoints")
    parser.add_argument("--batches", type=int, default=40, help="batches to train on each")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1, help="processes that decode pictures")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--settings", default="", help="more --user_defined_parameters")
    options = parser.parse_args()
    peaks = []
    for rows in options.rows:
        started = time.monotonic()
        peaks.append(train(write_catalogue(options.out / "catalogue", rows), rows, options))
        seconds = time.monotonic() - started
        print(
            f"{rows:>9,} rows: peak {peaks[-1].proportional:7.0f} MiB proportional, "
            f"{peaks[-1].resident:7.0f} MiB resident; {seconds:.0f} s",
            flush=True,
        )
    print(
        f"ratio of the last to the first: {peaks[-1].proportional / peaks[0].proportional:.3f} proportional, "
        f"{peaks[-1].resident / peaks[0].resident:.3f} resident"
    )


if __name__ == "__main__":
    main()
