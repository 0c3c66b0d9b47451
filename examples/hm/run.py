"""The H&M benchmark: mean recall before training, with ITC alone and with ITC + CVA, from one command.

    python examples/hm/run.py --data PATH/TO/hm --out out/hm-benchmark --seeds 1 2 3 --write docs/BENCHMARKS.md

DATA is a folder with train.csv, valid.csv and test.csv (columns product_id, image, caption). Both arms start from the
same weights, see the same batches and take the same number of steps; the checkpoint kept is the best on valid.csv, and
test.csv is looked at once, at the end. Every step is a call of the installed `easynlp` command, and is printed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ARMS = {"ITC": "cva=false", "ITC + CVA": "cva=true"}
COLUMNS = [f"{direction}_R@{k}" for direction in ("image_to_text", "text_to_image") for k in (1, 5, 10)]
BEGIN, END = "<!-- hm:begin -->", "<!-- hm:end -->"


@dataclass(frozen=True)
class Run:
    """One arm with one seed: its scores in percent and the seconds its training took."""

    arm: str
    seed: int
    scores: dict[str, float]
    seconds: float


def easynlp(*flags: str) -> None:
    """Run the console script beside this interpreter, saying so."""
    command = [str(Path(sys.executable).with_name("easynlp")), "--app_name=fashionklip", *flags]
    print("$ easynlp " + shlex.join(command[1:]), flush=True)
    subprocess.run(command, check=True)


def columns() -> list[str]:
    """Which columns hold text and picture."""
    return ["--first_sequence=caption", "--second_sequence=image"]


def evaluate(data: Path, seed: int, target: Path, *model: str) -> dict[str, float]:
    """Score test.csv and read the numbers back."""
    easynlp(
        "--mode=evaluate",
        f"--tables={data / 'test.csv'}",
        *columns(),
        f"--outputs={target}",
        f"--random_seed={seed}",
        *model,
    )
    scores: dict[str, float] = json.loads(target.read_text(encoding="utf-8"))
    return scores


def before(options: argparse.Namespace) -> Run:
    """The starting weights, untrained heads and all."""
    parameters = f"pretrain_model_name_or_path={options.model} image_size={options.px}"
    target = options.out / "before.json"
    return Run("before training", 0, evaluate(options.data, 1, target, f"--user_defined_parameters={parameters}"), 0.0)


def train(options: argparse.Namespace, arm: str, seed: int) -> Run:
    """Train one arm with one seed and score its best checkpoint."""
    folder = options.out / f"{arm.replace(' ', '')}-seed{seed}"
    parameters = f"pretrain_model_name_or_path={options.model} image_size={options.px} {ARMS[arm]} {options.parameters}"
    started = time.perf_counter()
    easynlp(
        "--mode=train",
        f"--tables={options.data / 'train.csv'},{options.data / 'valid.csv'}",
        *columns(),
        f"--checkpoint_dir={folder}",
        f"--learning_rate={options.learning_rate}",
        f"--epoch_num={options.epochs}",
        f"--micro_batch_size={options.batch}",
        f"--random_seed={seed}",
        f"--user_defined_parameters={parameters.strip()}",
    )
    seconds = time.perf_counter() - started
    return Run(
        arm, seed, evaluate(options.data, seed, folder / "evaluation.json", f"--checkpoint_dir={folder}"), seconds
    )


def table(runs: list[Run]) -> str:
    """Markdown: a row per arm, mean and (from two seeds on) standard deviation over its seeds."""
    names = ["mean recall", *(name.replace("image_to_text", "i→t").replace("text_to_image", "t→i") for name in COLUMNS)]
    lines = ["| arm | seeds | " + " | ".join(names) + " | minutes |", "|---" * (len(names) + 3) + "|"]
    for arm in dict.fromkeys(run.arm for run in runs):
        own = [run for run in runs if run.arm == arm]
        cells = [_spread([run.scores[name] for run in own]) for name in ("mean_recall", *COLUMNS)]
        minutes = _spread([run.seconds / 60 for run in own]) if own[0].seconds else ""
        lines.append(f"| {arm} | {len(own)} | " + " | ".join(cells) + f" | {minutes} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def write(path: Path, text: str) -> None:
    """Put the table between the markers of a Markdown file."""
    content = path.read_text(encoding="utf-8")
    head, rest = content.split(BEGIN)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    """Run all arms and seeds, print the table, write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train.csv, valid.csv and test.csv")
    parser.add_argument("--out", type=Path, default=Path("out/hm-benchmark"))
    parser.add_argument("--model", default="starter")
    parser.add_argument("--px", type=int, default=112)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning_rate", default="3e-4")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--parameters", default="", help="more --user_defined_parameters, for both arms")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers to fill")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    runs = [before(options)]
    print(table(runs), flush=True)
    for seed in options.seeds:
        for arm in options.arms:
            runs.append(train(options, arm, seed))
            print(table(runs), flush=True)
    if options.write:
        write(options.write, table(runs))


if __name__ == "__main__":
    main()
