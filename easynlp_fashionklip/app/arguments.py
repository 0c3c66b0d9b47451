"""EasyNLP's command line as this app reads it: peeked at before EasyNLP parses it, then completed."""

from __future__ import annotations

import argparse
import math
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from easynlp_fashionklip.app import checkpoints, resume_points
from easynlp_fashionklip.app.compat import initialize_quietly
from easynlp_fashionklip.config import AppConfig, parse_user_defined_parameters
from easynlp_fashionklip.data.formats import NAMES, there_is
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.training import deepspeed_config
from easynlp_fashionklip.training.wandb_log import require_wandb

MODES = ("train", "evaluate", "predict")
_TEXT_FLAGS = (
    "app_name",
    "tables",
    "user_defined_parameters",
    "checkpoint_dir",
    "outputs",
    "first_sequence",
    "second_sequence",
    "resume_from_checkpoint",
)


class _Peek(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}.")


def peek(argv: Sequence[str]) -> Namespace:
    """The few flags that must be known before EasyNLP parses all: None or the default where not given.

    `given` lists the option names on the command line.
    """
    parser = _Peek(add_help=False, allow_abbrev=False)
    for name in _TEXT_FLAGS:
        parser.add_argument(f"--{name}")
    parser.add_argument("--checkpoint_path", dest="checkpoint_dir")
    parser.add_argument("--mode", default="train")
    parser.add_argument("--random_seed", type=int, default=1234)
    parser.add_argument("--data_threads", type=int)
    parser.add_argument("--optimizer_type", "--optimizer")
    parser.add_argument("--micro_batch_size", "--train_batch_size", type=int)
    parser.add_argument("--gradient_accumulation_steps", type=int)
    for name in ("epoch_num", "learning_rate", "max_grad_norm", "weight_decay", "warmup_proportion"):
        parser.add_argument(f"--{name}", type=float)
    for name in ("worker_count", "worker_gpu", "worker_cpu"):
        parser.add_argument(f"--{name}", type=int, default=-1)
    flags, _ = parser.parse_known_args(list(argv))
    flags.given = {word.split("=")[0].lstrip("-") for word in argv if word.startswith("--")}
    return flags


def check(flags: Namespace) -> AppConfig:
    """Refuse what no run could use, before anything is imported or started.

    Raises:
        InputError: naming the flag and the remedy.
    """
    if flags.mode not in MODES:
        raise InputError(f"--mode={flags.mode} is not one of {', '.join(MODES)}.")
    config = parse_user_defined_parameters(flags.user_defined_parameters)
    if not flags.tables:
        raise InputError("--tables is missing; give the catalogue file, or train and validation files with a comma.")
    if flags.random_seed <= 0:
        raise InputError(f"--random_seed={flags.random_seed} is not positive, which EasyNLP needs; give 1 or more.")
    if not flags.checkpoint_dir and (flags.mode == "train" or not config.pretrain_model_name_or_path):
        raise InputError(f"--checkpoint_dir is missing; --mode={flags.mode} needs the folder of the model.")
    if flags.mode == "train" and not config.pretrain_model_name_or_path:
        raise InputError(
            "--user_defined_parameters lacks pretrain_model_name_or_path; "
            "give the encoder to start from, for example pretrain_model_name_or_path=starter."
        )
    if flags.mode == "predict" and not flags.outputs:
        raise InputError("--outputs is missing; --mode=predict needs the .tsv or .npz file to write.")
    _check_tables(flags)
    _check_sequences(flags)
    _check_checkpoint(flags)
    _check_numbers(flags)
    if flags.mode == "train":
        require_wandb(config.wandb_project)
    if flags.mode == "train" and config.deepspeed_config:
        deepspeed_config.check(config.deepspeed_config)
    return config


def _check_tables(flags: Namespace) -> None:
    tables = flags.tables.split(",")
    most = 2 if flags.mode == "train" else 1
    if len(tables) > most:
        raise InputError(f"--tables={flags.tables} names {len(tables)} files; --mode={flags.mode} takes {most}.")
    for table in tables:
        if not there_is(Path(table)):
            raise InputError(f"--tables: {table} does not exist; give the path of a {NAMES}.")


def _check_checkpoint(flags: Namespace) -> None:
    if flags.checkpoint_dir and flags.mode == "train":
        checkpoints.require_writable(Path(flags.checkpoint_dir))
        checkpoints.check_app(Path(flags.checkpoint_dir))
    elif flags.checkpoint_dir:
        checkpoints.require_checkpoint(Path(flags.checkpoint_dir))
    if flags.mode == "train" and flags.resume_from_checkpoint is not None:
        resume_points.require(flags.resume_from_checkpoint)


def _check_numbers(flags: Namespace) -> None:
    for name in ("epoch_num", "learning_rate", "micro_batch_size", "gradient_accumulation_steps"):
        value = getattr(flags, name)
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"--{name}={value} is not positive; give a number above 0.")
    for name, most, remedy in (
        ("max_grad_norm", math.inf, "give a norm, or 0 not to clip"),
        ("weight_decay", math.inf, "give 0 or more"),
        ("warmup_proportion", 1, "give a share of the steps from 0 to 1"),
    ):
        value = getattr(flags, name)
        if value is not None and not 0 <= value <= most:
            raise InputError(f"--{name}={value:g} is out of range; {remedy}.")
    if (flags.learning_rate or 0) > 1:
        raise InputError(
            f"--learning_rate={flags.learning_rate:g} moves every weight by that much a step, which no model survives; "
            "give one from 1e-6 to 1e-3."
        )
    if flags.optimizer_type == "SGD":
        raise InputError("--optimizer_type=SGD is not supported by fashionklip; use AdamW (the default).")


def _check_sequences(flags: Namespace) -> None:
    first, second = flags.first_sequence, flags.second_sequence
    if flags.mode == "predict" and not (first or second):
        raise InputError("--first_sequence (text column) and --second_sequence (picture column) are both missing.")
    if flags.mode != "predict" and not (first and second):
        missing = "--first_sequence (text column)" if not first else "--second_sequence (picture column)"
        raise InputError(f"{missing} is missing; name the column, for example --first_sequence=caption.")


def initialise(argv: Sequence[str], flags: Namespace) -> Namespace:
    """Run EasyNLP's own initialisation on `argv` and return its completed arguments.

    Our parameters are kept from EasyNLP's parser, which splits values at every `=`, and our model names from its zoo
    look-up, which waits for a network for ever.
    """
    former = sys.argv
    sys.argv = [former[0], *_without(argv, "user_defined_parameters")]
    try:
        args = initialize_quietly()
    finally:
        sys.argv = former
    args.user_defined_parameters = flags.user_defined_parameters
    return args


def _without(argv: Sequence[str], name: str) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in argv:
        if skip:
            skip = False
        elif word == f"--{name}":
            skip = True
        elif not word.startswith(f"--{name}="):
            kept.append(word)
    return kept
