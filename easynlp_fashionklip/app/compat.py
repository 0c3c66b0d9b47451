"""The only importer of `easynlp`'s classes: silences what they print and never touches what cannot be imported.

`easynlp.appzoo.api`, EasyNLP's AutoTokenizer/AutoConfig and `get_pretrain_model_path` are never used: the first two
do not import on current Pythons, the last waits for a network for ever.
"""

from __future__ import annotations

import contextlib
import io
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import NoReturn

from easynlp_fashionklip.errors import InputError

try:
    # EasyNLP prints on import that optional readers of Alibaba's platform are missing.
    with contextlib.redirect_stdout(io.StringIO()):
        from easynlp.appzoo.application import Application
        from easynlp.appzoo.dataset import BaseDataset
        from easynlp.core.evaluator import Evaluator
        from easynlp.core.predictor import Predictor
        from easynlp.core.trainer import Trainer
        from easynlp.utils import exporter, initialize_easynlp
        from easynlp.utils.global_vars import get_args
except ModuleNotFoundError as error:
    raise InputError(
        f"EasyNLP cannot be imported ({error}); install it with: pip install --no-deps pai-easynlp==0.0.3"
    ) from error

APP_NAME = "fashionklip"

__all__ = [
    "APP_NAME",
    "Application",
    "BaseDataset",
    "Evaluator",
    "Predictor",
    "Trainer",
    "exporter",
    "extend_arguments",
    "get_args",
    "initialize_quietly",
]


def _refuse(message: str) -> NoReturn:
    raise InputError(f"{message}.")


def extend_arguments(parser: ArgumentParser) -> ArgumentParser:
    """Teach EasyNLP's parser our app name, the spelling of --local_rank that current torch uses, and brevity.

    argparse would answer a wrong flag with a page of usage.
    """
    parser.error = _refuse  # type: ignore[method-assign]
    for action in parser._actions:
        if "--app_name" in action.option_strings and action.choices is not None:
            action.choices = [*action.choices, APP_NAME]
    parser.add_argument("--local-rank", dest="local_rank", type=int)
    return parser


def initialize_quietly(extra_args_provider: Callable[[ArgumentParser], ArgumentParser] = extend_arguments) -> Namespace:
    """EasyNLP's own initialisation of arguments, process group, seeds and logging, without its printing."""
    with contextlib.redirect_stdout(io.StringIO()):
        args: Namespace = initialize_easynlp(extra_args_provider=extra_args_provider)
    return args
