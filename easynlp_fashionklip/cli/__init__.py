"""The console commands: `easynlp` (our app, or EasyNLP untouched for every other) and `fashionklip`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from easynlp_fashionklip import __version__
from easynlp_fashionklip.cli import convert, data, evaluate, graph, zoo
from easynlp_fashionklip.errors import EXIT_BAD_INPUT, InputError

APP_NAME = "fashionklip"
EXIT_INTERRUPTED = 130


def easynlp_main(argv: Sequence[str] | None = None) -> int:
    """Console script `easynlp`: `--app_name=fashionklip` is launched here, everything else by EasyNLP itself."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--app_name")
    if parser.parse_known_args(argv)[0].app_name != APP_NAME:
        return _delegate()
    if {"-h", "--help"} & set(argv):
        sys.stdout.write(_app_help())
        return 0
    return _guarded(lambda: _launch(argv))


def _app_help() -> str:
    from easynlp_fashionklip.config import known_parameters

    return (
        "usage: easynlp --app_name=fashionklip --mode=train|evaluate|predict --tables=FILE[,VALIDATION] "
        "--first_sequence=TEXT_COLUMN\n       --second_sequence=PICTURE_COLUMN --checkpoint_dir=DIR "
        "--user_defined_parameters='KEY=VALUE ...' [EasyNLP's flags]\n\n"
        "EasyNLP's flags that matter here: --outputs, --output_schema, --append_cols (predict); --input_schema, "
        "--skip_first_line (TSV);\n  --learning_rate, --epoch_num, --micro_batch_size, --gradient_accumulation_steps, "
        "--warmup_proportion, --weight_decay,\n  --max_grad_norm, --use_amp, --random_seed, --sequence_length, "
        "--data_threads, --save_checkpoint_steps, --save_all_checkpoints,\n  --resume_from_checkpoint, --worker_gpu, "
        "--worker_cpu, --worker_count.\n\nKeys of --user_defined_parameters:\n" + known_parameters() + "\n"
    )


def _launch(argv: Sequence[str]) -> int:
    from easynlp_fashionklip.app.launch import launch

    return launch(argv)


def _delegate() -> int:
    try:
        from easynlp_fashionklip.app.stock import main
    except ModuleNotFoundError as error:
        sys.stderr.write(f"error: EasyNLP cannot be imported ({error}); pip install --no-deps pai-easynlp==0.0.3\n")
        return EXIT_BAD_INPUT
    main()
    return 0


def _guarded(action: Callable[[], int]) -> int:
    """Run, telling bad input in one sentence (exit code 2) and an interruption in one word (130)."""
    try:
        return action()
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing half-written was left\n")
        return EXIT_INTERRUPTED


def fashionklip_main(argv: Sequence[str] | None = None) -> int:
    """Console script `fashionklip`: graph, evaluate, data, sample, zoo, convert, doctor."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return _guarded(lambda: int(arguments.action(arguments) or 0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fashionklip", description="FashionKLIP beside `easynlp`.")
    parser.add_argument("--version", action="version", version=f"easynlp-fashionklip {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    graph.add_commands(commands.add_parser("graph", help="build, grow, inspect, export the concept graph"))
    evaluate.add_command(
        commands.add_parser("evaluate", help="measure a checkpoint by a protocol, or compare two runs")
    )
    data.add_commands(commands.add_parser("data", help="check, describe or convert a catalogue"))
    _add_sample(commands.add_parser("sample", help="draw a sample catalogue"))
    zoo.add_commands(commands.add_parser("zoo", help="list, describe, download the pretrained encoders known by name"))
    convert.add_command(commands.add_parser("convert", help="write an encoder in another program's format"))
    doctor = commands.add_parser("doctor", help="check this installation and say how to mend it")
    doctor.set_defaults(action=_doctor)
    return parser


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, type=Path, help="folder to write; must be empty or absent")
    parser.add_argument("--products", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(action=_sample)


def _sample(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.data.sample import write_sample_catalogue

    summary = write_sample_catalogue(arguments.out, products=arguments.products, seed=arguments.seed)
    sys.stdout.write(f"{summary}\n")


def _doctor(arguments: argparse.Namespace) -> int:
    from easynlp_fashionklip.app.doctor import report

    text, healthy = report()
    sys.stdout.write(text + "\n")
    return 0 if healthy else 1


if __name__ == "__main__":
    raise SystemExit(fashionklip_main())
