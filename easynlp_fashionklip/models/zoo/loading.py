"""`load_pretrained`: an encoder by its name, from a folder, a file of weights, a download or the hub."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import torch

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.conversion.activation import Activation
from easynlp_fashionklip.models.conversion.folders import SUFFIXES, read_foreign_folder
from easynlp_fashionklip.models.conversion.reading import read_encoder
from easynlp_fashionklip.models.conversion.trusted import safe_folder
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.tower_pair import Towers, pair_of_towers, parse_towers
from easynlp_fashionklip.models.zoo.building import BUILDERS
from easynlp_fashionklip.models.zoo.cache import fetch, zoo_folder
from easynlp_fashionklip.models.zoo.records import ZOO

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def load_pretrained(
    name_or_path: str | Path,
    *,
    image_size: int = 0,
    seed: int = 0,
    activation: Activation = "auto",
    trust_pickle: bool = False,
) -> DualEncoder:
    """Load an encoder, in eval mode on the CPU.

    Looked up in this order: a name of `ZOO` that is built here, a file of weights, a folder, a folder of that name in
    EasyNLP's model zoo (`~/.easynlp/modelzoo` or `--modelzoo_base_dir`), a name of `ZOO` to download into it, a name
    `organisation/model` on the Hugging Face hub. `vision=... text=...` puts two such models together.

    Args:
        name_or_path: zoo name, checkpoint folder, file of weights (.pt, .safetensors, ...) or hub name.
        image_size: side of the square pictures in pixels; 0 takes the checkpoint's own.
        seed: for weights that no checkpoint holds (the heads of `starter`, all of `tiny`).
        activation: of weights in OpenAI's layout, which do not show it: "gelu", "quick_gelu", or "auto" to tell it
            by what lies around them.
        trust_pickle: run whatever program a file of such weights holds, if it holds more than weights.

    Raises:
        InputError: for an unknown name, a missing package, a checksum that differs, a download that fails, or a file
            or folder that is no checkpoint.
    """
    name = str(name_or_path)
    if image_size < 0:
        raise InputError(f"image_size={image_size} is negative; give pixels, or 0 for the checkpoint's own size.")
    if towers := parse_towers(name):
        return pair_of_towers(Towers(*(str(_locate(one)) for one in towers)), image_size=image_size, seed=seed)
    if name in BUILDERS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = BUILDERS[name](ZOO[name]).eval()
    else:
        found = _locate(name)
        if not isinstance(found, Path):
            return DualEncoder.from_pretrained(found, image_size=image_size)
        if found.is_dir():
            foreign = read_foreign_folder(found, activation=activation, trust_pickle=trust_pickle)
            if foreign is None:
                with safe_folder(found, trust_pickle) as folder:
                    return DualEncoder.from_pretrained(folder, image_size=image_size)
            model = foreign
        else:
            model = read_encoder(found, activation=activation, trust_pickle=trust_pickle)
    if image_size:
        model.backend.check_image_size(image_size, str(name))
        model.processor = model.processor.with_image_size(image_size)
    return model


def _locate(name: str) -> Path | str:
    """The folder or file that `name` stands for, downloaded if need be, or a hub name."""
    path = Path(name).expanduser()
    for folder in (Path, zoo_folder) if name else ():
        place = folder() / path
        if place.is_dir():
            return place
        if place.exists():
            return _file(place)
    if name in ZOO:
        return fetch(ZOO[name])
    if _HUB_NAME.fullmatch(name):
        return name
    near = difflib.get_close_matches(name, ZOO, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(
        f"no pretrained encoder {name!r}: it is neither a folder or file, nor in {zoo_folder()}, nor a hub name "
        f"organisation/model; {hint}Known names: {', '.join(ZOO)}."
    )


def _file(path: Path) -> Path:
    if path.suffix in SUFFIXES:
        return path
    raise InputError(
        f"{path} is a file and none of weights ({', '.join(SUFFIXES)}); give one, or the folder of a checkpoint."
    )
