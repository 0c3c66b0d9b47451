"""What a run leaves in `--checkpoint_dir`: the best model, and everything needed to go on after an interruption.

The best model is the folder itself (config.json, model.safetensors, pytorch_model.bin, tokenizer, train_config.json).
A resume point is EasyNLP's pair `pytorch_model_step_<n>.bin` (weights) and `.meta.bin` (epoch, step, optimizer,
scheduler, random state, prototypes' embedding bank); `--resume_from_checkpoint` takes that prefix or the folder.
"""

from __future__ import annotations

import json
import os
import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

from easynlp_fashionklip.app.compat import APP_NAME
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.dual_encoder import DualEncoder

TRAIN_CONFIG = "train_config.json"
LABEL_MAPPING = "label_mapping.json"
_RESUME_POINT = re.compile(r"pytorch_model_step_(\d+)\.meta\.bin")


def write_best(folder: Path, encoder: DualEncoder, args: Namespace) -> None:
    """Save the model in EasyNLP's folder shape, with `train_config.json` naming app and arguments."""
    encoder.save_pretrained(folder)
    plain = {key: value for key, value in vars(args).items() if isinstance(value, str | int | float | bool | None)}
    _write_json(folder / TRAIN_CONFIG, {**plain, "app_name": APP_NAME, "model_config": encoder.config.to_dict()})
    _write_json(folder / LABEL_MAPPING, {})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(content, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def check_app(folder: Path) -> None:
    """Refuse a checkpoint folder that another EasyNLP app wrote.

    Raises:
        InputError: naming the app.
    """
    path = folder / TRAIN_CONFIG
    if not path.is_file():
        return
    try:
        app = json.loads(path.read_text(encoding="utf-8")).get("app_name", APP_NAME)
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); give another --checkpoint_dir.") from error
    if app != APP_NAME:
        raise InputError(
            f"--checkpoint_dir={folder} belongs to EasyNLP's app {app!r}, not {APP_NAME!r}; give another folder."
        )


def require_writable(folder: Path) -> None:
    """Refuse a checkpoint folder that training could not write.

    Raises:
        InputError: it, or a folder above it, is a file or may not be written.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"--checkpoint_dir={folder}: {there} is a file, not a folder; give another one.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"--checkpoint_dir={folder}: {there} may not be written by this user; give another one.")


def require_checkpoint(folder: Path) -> None:
    """Refuse a folder that `--mode=evaluate` or `predict` cannot load.

    Raises:
        InputError: naming the folder and the remedy.
    """
    if not folder.is_dir():
        raise InputError(f"--checkpoint_dir={folder} does not exist; train into it first, or give a checkpoint folder.")
    check_app(folder)


def cut_history(path: Path, steps: int) -> None:
    """Keep of a history the lines of the first `steps` optimizer steps: a new or resumed run writes on from there."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if (step := _step_of(line)) is not None and step <= steps]
    temporary = path.with_name(path.name + ".part")
    temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    os.replace(temporary, path)


def _step_of(line: str) -> int | None:
    """The step of a line of the history; None for one that a kill has left unfinished."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None


def write_resume_point(folder: Path, step: int, weights: dict[str, Any], state: dict[str, Any]) -> Path:
    """Save a resume point and return its prefix; the meta file comes last and so marks it as whole."""
    prefix = folder / f"pytorch_model_step_{step}"
    for suffix, content in ((".bin", weights), (".meta.bin", state)):
        temporary = prefix.with_name(prefix.name + suffix + ".part")
        torch.save(content, temporary)
        os.replace(temporary, prefix.with_name(prefix.name + suffix))
    return prefix


def resume_points(folder: Path) -> list[int]:
    """Steps of the whole resume points in a folder, ascending."""
    matches = (_RESUME_POINT.fullmatch(path.name) for path in folder.glob("*.meta.bin"))
    return sorted(int(match.group(1)) for match in matches if match)


def remove_resume_point(folder: Path, step: int) -> None:
    """Delete one resume point, its mark first."""
    for suffix in (".meta.bin", ".bin"):
        (folder / f"pytorch_model_step_{step}{suffix}").unlink(missing_ok=True)


def resume_files(source: str) -> tuple[Path, Path]:
    """Weights file and state file of a resume point, given its prefix or a folder (whose newest is taken).

    Raises:
        InputError: there is none.
    """
    prefix = Path(source)
    if prefix.is_dir():
        steps = resume_points(prefix)
        if not steps:
            raise InputError(f"--resume_from_checkpoint={source}: the folder holds no pytorch_model_step_*.meta.bin.")
        prefix = prefix / f"pytorch_model_step_{steps[-1]}"
    weights, state = (prefix.with_name(prefix.name + suffix) for suffix in (".bin", ".meta.bin"))
    for path in (weights, state):
        if not path.is_file():
            raise InputError(f"--resume_from_checkpoint={source}: {path} does not exist; give a prefix or its folder.")
    return weights, state


def read_resume_point(source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and state of a resume point; `source` as in `resume_files`.

    Raises:
        InputError: there is none, or it is damaged.
    """
    parts = []
    for path in resume_files(source):
        try:
            parts.append(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # torch raises many kinds for a damaged file
            raise InputError(f"--resume_from_checkpoint={source}: {path} is damaged; give an older one.") from error
    return parts[0], parts[1]
