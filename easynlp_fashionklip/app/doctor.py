"""`fashionklip doctor`: what is installed, who owns the `easynlp` command, and how to mend what is wrong."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from easynlp_fashionklip.errors import InputError

REINSTALL = f"{sys.executable} -m pip install --force-reinstall --no-deps easynlp-fashionklip"
OURS = "easynlp_fashionklip.cli"


@dataclass(frozen=True)
class Finding:
    """One line of the report: fine, missing but optional, or wrong; with the remedy."""

    name: str
    state: str
    remedy: str = ""
    wrong: bool = False


def report() -> tuple[str, bool]:
    """The report as text, and whether everything needed is there."""
    findings = list(_findings())
    lines = []
    for finding in findings:
        mark = "WRONG" if finding.wrong else ("note" if finding.remedy else "ok")
        lines.append(f"{mark:6}{finding.name:22}{finding.state}")
        if finding.remedy:
            lines.append(f"{'':6}{'':22}-> {finding.remedy}")
    return "\n".join(lines), not any(finding.wrong for finding in findings)


def _findings() -> Iterator[Finding]:
    yield Finding("python", sys.version.split()[0])
    for package in ("torch", "transformers", "spacy", "pyarrow", "pillow", "numpy"):
        yield _package(package, f"pip install {package}", needed=True)
    yield _package("pai-easynlp", "pip install --no-deps pai-easynlp==0.0.3", needed=True)
    yield _package("deepspeed", "pip install deepspeed ninja (only for deepspeed_config)", needed=False)
    yield from (_script(), _spacy_model(), _starter(), _device())


def _package(name: str, remedy: str, needed: bool) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed", remedy, wrong=needed)


def script_owner(path: Path) -> str:
    """Which module a console script imports its entry point from: 'ours', 'easynlp' or 'unknown'."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    if OURS in text:
        return "ours"
    return "easynlp" if "easynlp" in text else "unknown"


def _script() -> Finding:
    """Tell who has the script: pip gives it to the last package installed that declares it, and nobody warns."""
    beside = Path(sys.executable).with_name("easynlp")
    found = str(beside) if beside.is_file() else shutil.which("easynlp")
    if found is None:
        return Finding("easynlp command", "not on PATH", REINSTALL, wrong=True)
    owner = script_owner(Path(found))
    if owner == "ours":
        return Finding("easynlp command", f"{found}, this plugin's")
    taken = "taken back by an installation of pai-easynlp" if owner == "easynlp" else "of another origin"
    return Finding("easynlp command", f"{found}, {taken}", REINSTALL, wrong=True)


def _attempt(name: str, state: Callable[[], str], needed: bool) -> Finding:
    try:
        return Finding(name, state())
    except InputError as error:
        return Finding(name, "missing", str(error), wrong=needed)


def _spacy_model() -> Finding:
    def state() -> str:
        from easynlp_fashionklip.graph.pipeline import load_spacy

        meta = load_spacy().meta
        return f"{meta['lang']}_{meta['name']} {meta['version']}"

    return _attempt("spaCy pipeline", state, needed=True)


def _starter() -> Finding:
    def state() -> str:
        from easynlp_fashionklip.models.zoo import STARTER, locate_file

        for file in STARTER.files:
            locate_file(file)
        return "weights found, checksums right"

    return _attempt("zoo model starter", state, needed=False)


def _device() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("device", "unknown without torch")
    import torch

    if torch.cuda.is_available():
        return Finding("device", f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)} (nccl)")
    return Finding("device", f"CPU, {torch.get_num_threads()} threads (gloo)")
