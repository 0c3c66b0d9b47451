"""The ablation: what each part of FashionKLIP adds to fine-tuning with ITC, on one's own catalogues.

    python examples/ablation/run.py --data PATH/TO/hm PATH/TO/myntra --seeds 1 2 3 --out out/ablation

Each DATA is a folder with train.csv, valid.csv and test.csv (columns product_id, image, caption) and
test_queries.jsonl (query_text, item_ids, kind). All rows start from the same weights and take the same steps; the
checkpoint kept is the best on valid.csv; test.csv is looked at once per row and seed. What is finished is not done
again, and training that was stopped goes on: run the same command. One row:

    python examples/ablation/run.py --data PATH/TO/hm --rows default --seeds 1

Each query's values are in `<catalogue>.parquet`, in --results. The tables of docs/BENCHMARKS.md from those beside this
program, without training and without the catalogues:

    python examples/ablation/run.py --data hm myntra --show --results examples/ablation/results \\
      --parameters cpu_threads=1

`--tune 1e-4 3e-4 1e-3` trains the rows with each learning rate and shows the mean recall on valid.csv alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import results
from rows import ROWS
from table import around_table, catalogue_table, tuning_table, write
from training import TABLES, Job, run

from easynlp_fashionklip.errors import InputError


def main() -> None:
    """What the program's description says; bad input is told in a sentence."""
    try:
        run_all(parse())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def parse() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of catalogues")
    parser.add_argument("--out", type=Path, default=Path("out/ablation"))
    parser.add_argument(
        "--results", type=Path, help="folder of <catalogue>.parquet, what is finished; --out unless given"
    )
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--model", default="starter")
    parser.add_argument("--px", type=int, default=112)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning_rate", default="3e-4")
    parser.add_argument("--parameters", default="", help="more --user_defined_parameters, for all rows")
    parser.add_argument("--tune", nargs="+", default=[], metavar="RATE", help="learning rates to compare on valid.csv")
    parser.add_argument("--show", action="store_true", help="run nothing, print the tables of what is finished")
    parser.add_argument("--against", choices=list(ROWS), help="row to compare with, instead of each group's ITC")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers to fill")
    options = parser.parse_args()
    options.out = options.out.absolute()
    options.results = (options.results or options.out).absolute()
    return options


def run_all(options: argparse.Namespace) -> None:
    """Run what is not done yet, printing the tables as they grow."""
    check(options)
    if options.tune:
        tune(options)
        return
    jobs = [
        Job(options, data, row, seed)
        for seed in options.seeds
        for data in options.data
        for row in options.rows
        if ROWS[row].trained or seed == options.seeds[0]  # nothing of it depends on the seed
    ]
    for job in () if options.show else jobs:
        if job.result is None:
            require_tables(job.data)
            run(job, ROWS[job.row])
            show(options, [job.data])
    show(options, options.data)


def check(options: argparse.Namespace) -> None:
    """Find before hours of training what would stop them, or spoil them.

    Raises:
        InputError: flags that do not go together, two catalogues of one name, or a file to write without the markers.
    """
    if options.show and options.tune:
        raise InputError("--show runs nothing and --tune trains; leave one of them out.")
    names = [data.name for data in options.data]
    if len(set(names)) < len(names):
        raise InputError(f"--data {' '.join(map(str, options.data))}: folders of the same name cannot be told apart.")
    for name in names if options.write else ():
        around_table(options.write, name)


def require_tables(data: Path) -> None:
    """Raise an InputError unless a catalogue's folder is whole."""
    missing = [name for name in TABLES if not (data / name).is_file()]
    if missing:
        raise InputError(f"{data} has no {', '.join(missing)}; --data takes folders that hold {', '.join(TABLES)}.")


def show(options: argparse.Namespace, catalogues: list[Path]) -> None:
    """Print the tables, of other commands with the same results, too, and write them where asked."""
    for data in catalogues:
        jobs = [Job(options, data, row, seed) for row, seed in results.load(Job(options, data, "", 0).file)]
        if not jobs:
            raise InputError(f"{options.results} has no results of {data.name}; name their folder with --results.")
        text = catalogue_table([one for one in (job.result for job in jobs) if one is not None], options.against)
        print(f"\n{data.name}, test.csv\n\n{text}\n", flush=True)
        if options.write:
            write(options.write, data.name, text)


def tune(options: argparse.Namespace) -> None:
    """Train each row with each learning rate, with the first seed."""
    found = {}
    for data in options.data:
        for row in (name for name in options.rows if ROWS[name].trained):
            for rate in options.tune:
                places = {name: getattr(options, name) / f"rate{rate}" for name in ("out", "results")}
                own = argparse.Namespace(**{**vars(options), **places, "learning_rate": rate})
                job = Job(own, data, row, options.seeds[0])
                if job.result is None:
                    require_tables(data)
                    run(job, ROWS[row])
                found[data.name, row, rate] = results.load(job.file)[row, job.seed].valid_mean_recall
                print(tuning_table(found), flush=True)


if __name__ == "__main__":
    main()
