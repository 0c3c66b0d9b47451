"""`make demo`: the whole path through the real commands on a catalogue that the program draws, then a report.

    python examples/demo/run.py --out out/demo

Each command line is printed before it runs, so that it can be repeated by hand on one's own catalogue.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from demo_content import collect_content
from demo_report import Stage, build_report

MARK = ".fashionklip-demo"


def demo_commands(out: Path, products: int, image_size: int, epochs: int) -> list[tuple[str, str]]:
    """(what it does, command line) of every stage before the report, in order."""
    sample, model, graph, before, after = (
        shlex.quote(str(out / name)) for name in ("catalogue", "model", "graph", "before.json", "after.json")
    )
    app = "easynlp --app_name=fashionklip"
    columns = "--first_sequence=caption --second_sequence=image --random_seed=42"
    # A text tower that trains takes twice the time, for texts of a few words.
    start = f"pretrain_model_name_or_path=starter image_size={image_size} train_layers=0"
    return [
        ("Draw a catalogue", f"fashionklip sample --out {sample} --products {products} --seed 0"),
        (
            "Build its concept graph",
            f"fashionklip graph build --catalog {sample}/train.csv --text caption --image image --model starter"
            f" --out {graph} --set image_size={image_size}",
        ),
        (
            "Evaluate before training",
            f"{app} --mode=evaluate --tables={sample}/test.csv {columns} --outputs={before}"
            f" --user_defined_parameters='{start}'",
        ),
        (
            "Train with ITC and CVA",
            f"{app} --mode=train --tables={sample}/train.csv,{sample}/valid.csv {columns} --checkpoint_dir={model}"
            f" --learning_rate=3e-4 --epoch_num={epochs} --micro_batch_size=64"
            f" --user_defined_parameters='{start} graph_dir={graph}'",
        ),
        (
            "Evaluate after training",
            f"{app} --mode=evaluate --tables={sample}/test.csv {columns} --checkpoint_dir={model} --outputs={after}",
        ),
    ]


def run_stage(name: str, command: str) -> Stage:
    """Print a command, run it, time it; the program ends with the command's exit code if it fails."""
    sys.stdout.write(f"\n== {name}\n$ {command}\n")
    sys.stdout.flush()
    # The commands of this environment, also when it is not activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    started = time.perf_counter()
    code = subprocess.run(shlex.split(command), env={**os.environ, "PATH": path}, check=False).returncode
    if code:
        sys.stderr.write(f"error: '{name}' ended with exit code {code}\n")
        raise SystemExit(code)
    return Stage(name, command, time.perf_counter() - started)


def fresh_folder(out: Path) -> None:
    """Make `out` an empty folder; one that an earlier demo wrote is emptied, any other is left alone.

    Raises:
        SystemExit: with exit code 2, `out` holds something else.
    """
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        sys.stderr.write(f"error: --out={out} holds something that no demo wrote; give another folder.\n")
        raise SystemExit(2)
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).touch()


def main(argv: Sequence[str] | None = None) -> int:
    """Run all stages and write `report.html`."""
    parser = argparse.ArgumentParser(description="Catalogue, graph, training, evaluation, report.")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder; an earlier demo's is emptied")
    parser.add_argument("--products", type=int, default=2000, help="products to draw")
    parser.add_argument("--image_size", type=int, default=96, help="side of the pictures the model sees, in pixels")
    parser.add_argument("--epochs", type=int, default=3)
    asked = parser.parse_args(argv)
    fresh_folder(asked.out)
    commands = demo_commands(asked.out, asked.products, asked.image_size, asked.epochs)
    stages = [run_stage(name, command) for name, command in commands]
    sys.stdout.write("\n== Write the report\n")
    report = asked.out / "report.html"
    report.write_text(build_report(collect_content(asked.out, stages)), encoding="utf-8")
    sys.stdout.write(f"{sum(stage.seconds for stage in stages):.0f} s in all; open {report}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
