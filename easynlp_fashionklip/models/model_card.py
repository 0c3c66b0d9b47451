"""README.md beside a saved model: what it is, what it was made from and how, in the form that model hubs read."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easynlp_fashionklip import __version__
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.checkpoint import first_line
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.tower_pair import parse_towers
from easynlp_fashionklip.models.zoo import ZOO

logger = logging.getLogger(__name__)

CARD = "README.md"
MARK = "# Written by easynlp-fashionklip, and again when the model is; delete this line to keep the file as it is."
_PART = ".part"
_SEEN = 1 << 14  # characters in which the mark and the licence are looked for
_LICENCE = "Licence of the base weights"
_SPDX = re.compile(r"(MIT|Apache-2\.0|BSD-3-Clause|CC-BY-4\.0|CC-BY-SA-4\.0|CC-BY-NC-4\.0)", re.IGNORECASE)
_OWN_LICENCE = re.compile(rf"^## {_LICENCE}\n\n(.+)$", re.MULTILINE)
_LICENCE_LINE = re.compile(r"^license:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class ModelCard:
    """What a card tells; sections that are empty are left out.

    Attributes:
        name: of the model.
        base: name or path of the model that training started from.
        licence: of the base's weights.
        model: what it is, by property.
        data: what it was trained with, by property.
        graph: of the concept graph, by property; empty when trained without one.
        metrics: in percent, by name.
        evaluated_on: what the metrics were measured on.
        command: that made it.
        architectures: classes of transformers that load the folder.
    """

    name: str
    base: str
    licence: str
    model: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    graph: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluated_on: str = ""
    command: str = ""
    architectures: tuple[str, ...] = ()

    def render(self) -> str:
        """The text of README.md."""
        sections = [
            self._front_matter(),
            f"# {_inline(self.name)}\n\nA dual encoder of pictures and texts, fine-tuned by easynlp-fashionklip "
            f"{__version__} from {_code(self.base)}.\n\n" + _table(self.model),
            self._section("Training data", _table(self.data)),
            self._section("Concept graph", _table(self.graph)),
            self._metrics(),
            self._section("Command", _fenced(self.command, "bash")),
            self._section(_LICENCE, _inline(self.licence)),
            self._section("Use", _fenced(self._usage(), "python")),
        ]
        return "\n\n".join(section for section in sections if section) + "\n"

    def _front_matter(self) -> str:
        spdx = _SPDX.fullmatch(self.licence)
        lines = ["---", MARK, f"license: {spdx[1].lower() if spdx else 'other'}"]
        if _HUB_NAME.fullmatch(self.base):
            lines.append(f"base_model: {json.dumps(self.base)}")
        if self.architectures:
            lines.append("library_name: transformers")
        return "\n".join([*lines, "tags: [fashion, image-text-retrieval, fashionklip]", "---"])

    def _metrics(self) -> str:
        values = {name: f"{value:.2f}" for name, value in self.metrics.items()}
        told = f"In percent, on {_code(self.evaluated_on)}.\n\n" if self.evaluated_on else "In percent.\n\n"
        return self._section("Metrics", told + _table(values) if values else "")

    def _usage(self) -> str:
        lines = [
            "from easynlp_fashionklip.inference.encode import encode_texts",
            "from easynlp_fashionklip.models.zoo import load_pretrained",
            "",
            'model = load_pretrained("path/of/this/folder")',
            'image_embeds = model.encode_image(model.processor(images=pictures)["pixel_values"])',
            'text_embeds = encode_texts(model, ["a red dress"])',
        ]
        for name in self.architectures:
            lines += [
                "",
                f"from transformers import {name}",
                "",
                f'model = {name}.from_pretrained("path/of/this/folder")',
            ]
        return "\n".join(lines)

    @staticmethod
    def _section(title: str, content: str) -> str:
        return f"## {title}\n\n{content}" if content else ""


def describe(model: DualEncoder) -> dict[str, Any]:
    """The rows of a card that the model itself answers for."""
    parameters = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters())
    concepts = model.concepts
    known = {} if concepts is None else {"concepts in texts": concepts.told()}
    return {
        "architecture": model.config.model_type,
        "parameters": f"{parameters:,}",
        "embedding": f"{model.embed_dim} dimensions, unit norm",
        "pictures": f"{model.processor.image_size} px square, {model.processor.preprocessing.resize_mode}",
        "texts": f"at most {model.processor.max_length} tokens",
        **known,
    }


def architectures(model: DualEncoder) -> tuple[str, ...]:
    """The classes of transformers that give a saved model's embeddings; none where only this package can."""
    pooled_here = any(getattr(model.config, f"{part}_pooling", "pooler") != "pooler" for part in ("vision", "text"))
    return (
        () if pooled_here or model.concepts is not None else tuple(getattr(model.config, "architectures", None) or ())
    )


def licence_of(base: str) -> str:
    """The licence of a base model's weights: the zoo's word, else that of the model's own card."""
    towers = parse_towers(base)
    if towers is not None:
        return f"picture tower: {licence_of(towers.vision)}; text tower: {licence_of(towers.text)}"
    if base in ZOO:
        return ZOO[base].licence
    folder = Path(base).expanduser()
    if not folder.is_dir():
        return f"see https://huggingface.co/{base}" if _HUB_NAME.fullmatch(base) else f"not stated with {base}"
    text = _beginning(folder / CARD)
    if MARK in text and (own := _OWN_LICENCE.search(text)):
        return re.sub(r"\\(.)", r"\1", own[1])
    found = _LICENCE_LINE.search(text)
    return found[1] if found and found[1] != "other" else f"not stated in {base}"


def write_card(folder: str | Path, card: ModelCard) -> bool:
    """Write README.md into a model's folder, whole or not at all, unless there is one that is not ours.

    Returns:
        whether it was written.

    Raises:
        InputError: the folder cannot be written.
    """
    path = Path(folder) / CARD
    temporary = path.with_name(path.name + _PART)
    try:
        if path.exists() and MARK not in _beginning(path):
            logger.info("%s was not written by easynlp-fashionklip and stays as it is", path)
            return False
        temporary.write_text(card.render(), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"the model card {path} cannot be written ({first_line(error)}).") from error
    return True


def _beginning(path: Path) -> str:
    """The first characters of a text file; nothing where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_SEEN)
    except (FileNotFoundError, IsADirectoryError):
        return ""


def _inline(text: str) -> str:
    """One line that Markdown shows as it is written, in a table too."""
    return re.sub(r"([|\\`*_<>\[\]])", r"\\\1", " ".join(str(text).split()))


def _code(text: str) -> str:
    """Text in a fixed-width face, whatever is in it; Markdown wants more backticks around it than it has."""
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{fence}{space}{' '.join(text.split())}{space}{fence}" if text else ""


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}" if text else ""


def _table(rows: Mapping[str, Any]) -> str:
    """A Markdown table of two columns; nothing for no rows."""
    lines = [f"| {_inline(name)} | {_inline(value)} |" for name, value in rows.items() if value not in ("", None)]
    return "\n".join(["| | |", "|---|---|", *lines]) if lines else ""
