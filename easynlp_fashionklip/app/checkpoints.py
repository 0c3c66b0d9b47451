"""The best model of a run, which is what `--checkpoint_dir` itself holds; `app.resume_points` has the rest.

Its files: config.json, model.safetensors, pytorch_model.bin, tokenizer, train_config.json, README.md.
"""

from __future__ import annotations

import json
import os
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import Any

from easynlp_fashionklip.app.compat import APP_NAME
from easynlp_fashionklip.errors import InputError, storage_error
from easynlp_fashionklip.models.checkpoint import CONFIG
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.model_card import ModelCard, write_card

TRAIN_CONFIG = "train_config.json"
LABEL_MAPPING = "label_mapping.json"


def write_best(folder: Path, encoder: DualEncoder, args: Namespace, card: ModelCard | None = None) -> None:
    """Save the model in EasyNLP's folder shape, with `train_config.json` naming app and arguments, and its card.

    Raises:
        InputError: the folder cannot be written, be it that the disk is full.
    """
    encoder.save_pretrained(folder)
    plain = {key: value for key, value in vars(args).items() if isinstance(value, str | int | float | bool | None)}
    _write_json(folder / TRAIN_CONFIG, {**plain, "app_name": APP_NAME, "model_config": encoder.config.to_dict()})
    _write_json(folder / LABEL_MAPPING, {})
    if card is not None:
        write_card(folder, card)


def has_model(folder: Path) -> bool:
    """Whether a model has been saved there."""
    return (folder / CONFIG).is_file()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise storage_error(path, error) from error


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
