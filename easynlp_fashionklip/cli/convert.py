"""`fashionklip convert SRC DST --to hf|open_clip|release|onnx`: any encoder in another program's format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from easynlp_fashionklip.errors import InputError

if TYPE_CHECKING:
    from easynlp_fashionklip.models.dual_encoder import DualEncoder

FORMATS = ("hf", "open_clip", "release", "onnx")
_OPEN_CLIP_FILES = (".safetensors", ".pt")


def add_command(parser: argparse.ArgumentParser) -> None:
    """Give a parser the arguments of `convert`."""
    parser.add_argument("source", metavar="SRC", help="zoo name, checkpoint folder, file of weights or hub name")
    parser.add_argument("target", metavar="DST", type=Path, help="folder or file to write; must not exist")
    parser.add_argument("--to", required=True, choices=FORMATS, help="hf: transformers' folder, which is ours too")
    parser.add_argument("--activation", default="auto", choices=("auto", "gelu", "quick_gelu"), help="of SRC's towers")
    parser.add_argument("--image_size", type=int, default=0, help="of pictures, in pixels; 0 keeps SRC's own")
    parser.add_argument("--quantise", action="store_true", help="with --to onnx: weights of matrix products as int8")
    parser.add_argument("--trust_pickle", action="store_true", help="run the program that SRC's file holds, if any")
    parser.set_defaults(action=_convert)


def _convert(arguments: argparse.Namespace) -> None:
    from easynlp_fashionklip.models.storage import refuse_existing
    from easynlp_fashionklip.models.zoo import load_pretrained

    target: Path = arguments.target
    refuse_existing(target)
    if target.suffix == ".safetensors" and arguments.to != "open_clip":
        raise InputError(f"--to {arguments.to} writes no .safetensors file, as {target} would be; give another name.")
    if arguments.quantise and arguments.to != "onnx":
        raise InputError(f"--quantise belongs to --to onnx, not to --to {arguments.to}; leave it out.")
    model = load_pretrained(
        arguments.source,
        image_size=arguments.image_size,
        activation=arguments.activation,
        trust_pickle=arguments.trust_pickle,
    )
    _tell_of_concepts(model, arguments.to)
    if arguments.to == "onnx":
        _to_onnx(model, target, arguments.quantise)
    else:
        {"hf": _to_hf, "open_clip": _to_open_clip, "release": _to_release}[arguments.to](model, target)
    sys.stdout.write(f"{arguments.source} as {arguments.to}: {target}\n")


def _tell_of_concepts(model: DualEncoder, target: str) -> None:
    """Warn that other programs embed texts without the concepts that this model was trained with."""
    if model.concepts is not None and target != "onnx":
        sys.stderr.write(
            "warning: this model was trained with concepts in its texts, which other programs know nothing of: texts "
            "embedded by them will retrieve worse; train with concept_text_weight=0 for a model of theirs\n"
        )


def _to_hf(model: DualEncoder, target: Path) -> None:
    from easynlp_fashionklip.models.storage import new_folder

    with new_folder(target) as folder:
        model.save_pretrained(folder)


def _to_open_clip(model: DualEncoder, target: Path) -> None:
    from easynlp_fashionklip.models.conversion.writing import write_open_clip_file, write_open_clip_folder
    from easynlp_fashionklip.models.storage import new_file, new_folder

    if target.suffix in _OPEN_CLIP_FILES:
        with new_file(target) as path:
            write_open_clip_file(model, path)
        sys.stdout.write(f"its activation, which weights do not show, is {model.config.vision_config.hidden_act}\n")
        return
    with new_folder(target) as folder:
        write_open_clip_folder(model, folder)


def _to_release(model: DualEncoder, target: Path) -> None:
    from easynlp_fashionklip.models.conversion.writing import write_release
    from easynlp_fashionklip.models.storage import new_file, new_folder

    if target.suffix == ".pt":
        with new_file(target) as path:
            write_release(model, path, target.stem)
        return
    with new_folder(target) as folder:
        write_release(model, folder / f"{target.name}.pt", target.name)


def _to_onnx(model: DualEncoder, target: Path, quantise: bool) -> None:
    from easynlp_fashionklip.models.storage import new_folder

    try:
        from easynlp_fashionklip.inference.onnx_export import export_onnx
    except ModuleNotFoundError as error:
        raise InputError(
            f"--to onnx cannot be done here: {error.name} is missing; pip install 'easynlp-fashionklip[onnx]'."
        ) from error
    with new_folder(target) as folder:
        export_onnx(model, folder, quantise=quantise)
