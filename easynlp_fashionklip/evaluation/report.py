"""A retrieval result as a table for people and as `evaluation.json` for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.evaluation.evaluator import RetrievalResult

FILE_NAME = "evaluation.json"
_DIRECTIONS = {"image_to_text": "image -> text", "text_to_image": "text -> image"}


def result_table(result: RetrievalResult, title: str) -> str:
    """The scores as lines of text: a row per direction, then the mean recall."""
    names = [f"R@{k}" for k in result.recall_at] + ["MRR"]
    lines = [title, f"{'':16}" + "".join(f"{name:>8}" for name in names)]
    for direction, label in _DIRECTIONS.items():
        lines.append(f"{label:16}" + "".join(f"{result.scores[f'{direction}_{name}']:8.2f}" for name in names))
    lines.append(f"{'mean recall':16}{result.mean_recall:8.2f}")
    lines.append(f"gallery: {result.gallery_size:,} pairs ({result.protocol}); a hit is {result.hit_rule}; in percent")
    return "\n".join(lines)


def result_as_dict(result: RetrievalResult, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What `evaluation.json` holds: the scores in percent, how they were taken, and the given provenance."""
    return {
        **{name: round(score, 4) for name, score in result.scores.items()},
        "unit": "percent",
        "protocol": result.protocol,
        "hit_rule": result.hit_rule,
        "gallery_size": result.gallery_size,
        **provenance,
    }


def write_result(path: Path, result: RetrievalResult, provenance: Mapping[str, Any]) -> None:
    """Write `evaluation.json` atomically.

    Raises:
        InputError: the folder cannot be written.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(result_as_dict(result, provenance), indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}); give another folder with --outputs.") from error
