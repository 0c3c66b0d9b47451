"""Flags of `fashionklip graph build` that say what to mine without pictures, and where to mine."""

from __future__ import annotations

import argparse
from pathlib import Path

from easynlp_fashionklip.errors import InputError

_NEEDED_WITH_PICTURES = ("catalog", "image", "model")


def add_engine_flags(parser: argparse.ArgumentParser) -> None:
    """Give `graph build` and `graph expand` the flags."""
    parser.add_argument(
        "--texts", type=Path, help="Parquet or CSV of products, in place of --catalog: a graph without pictures"
    )
    parser.add_argument("--id", default="", help="with --texts: column of the product ids; found if it is `id`")
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="where texts are mined and pictures embedded"
    )
    parser.add_argument("--ray-address", default="", help="with --engine ray: a running cluster, for example auto")


def check_build_flags(arguments: argparse.Namespace, needed: tuple[str, ...] = _NEEDED_WITH_PICTURES) -> None:
    """Whether the flags go together; `needed` are those without which pictures are of no use.

    Raises:
        InputError: a flag is missing, or two contradict each other; names them.
    """
    given = [name for name in _NEEDED_WITH_PICTURES if getattr(arguments, name)]
    if arguments.texts is not None and given:
        raise InputError(
            f"--texts is for a graph without pictures; leave out {' and '.join('--' + one for one in given)}."
        )
    missing = [name for name in needed if not getattr(arguments, name)]
    if arguments.texts is None and missing:
        flags = " and ".join("--" + one for one in missing)
        raise InputError(f"This command needs {flags}; or --texts for a graph of texts without pictures.")


def build_from_texts(arguments: argparse.Namespace) -> None:
    """`fashionklip graph build --texts`."""
    from easynlp_fashionklip.app.text_graph import mine_texts_command

    mine_texts_command(
        arguments.texts,
        arguments.text,
        arguments.id,
        arguments.out,
        settings=arguments.settings,
        engine=arguments.engine,
        ray_address=arguments.ray_address,
    )


def expand_by_texts(arguments: argparse.Namespace) -> None:
    """`fashionklip graph expand --texts`."""
    from easynlp_fashionklip.app.text_graph import expand_texts_command

    expand_texts_command(
        arguments.texts,
        arguments.text,
        arguments.id,
        arguments.graph,
        settings=arguments.settings,
        engine=arguments.engine,
        ray_address=arguments.ray_address,
    )
