"""Files of a resume point: written whole or not at all, with checksums; the newest that is intact is found.

A resume point is EasyNLP's pair `pytorch_model_step_<n>.bin` (weights) and `.meta.bin` (everything else), and
`pytorch_model_step_<n>.json` with the length and SHA-256 of both. DeepSpeed adds a folder, `.deepspeed`. The meta file
comes last: where it is, all the others are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch

from easynlp_fashionklip.errors import InputError, storage_error

WEIGHTS, STATE, SUMS, SHARES = ".bin", ".meta.bin", ".json", ".deepspeed"
_MARK = re.compile(r"pytorch_model_step_(\d+)\.meta\.bin")
_BLOCK = 1 << 20

logger = logging.getLogger(__name__)


def prefix_of(folder: Path, step: int) -> Path:
    """What `--resume_from_checkpoint` takes for one resume point of a folder."""
    return folder / f"pytorch_model_step_{step}"


def file_of(prefix: Path, suffix: str) -> Path:
    """A file of a resume point."""
    return prefix.with_name(prefix.name + suffix)


class _Counted:
    """A file that counts and hashes what is written, and keeps the error that torch would make an unspecific one of."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._bytes = 0
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            self._file.write(content)
        except OSError as error:
            self.error = error
            raise
        self._digest.update(content)
        self._bytes += memoryview(content).nbytes
        return memoryview(content).nbytes

    def flush(self) -> None:
        self._file.flush()

    def sums(self) -> dict[str, Any]:
        return {"bytes": self._bytes, "sha256": self._digest.hexdigest()}


def _write_part(path: Path, content: object) -> dict[str, Any]:
    """Write `<path>.part` to the disk; its sums."""
    with file_of(path, ".part").open("wb", buffering=_BLOCK) as file:
        counted = _Counted(file)
        try:
            torch.save(content, counted)  # type: ignore[arg-type]
        except RuntimeError as error:
            raise counted.error or error from error
        file.flush()
        os.fsync(file.fileno())
    return counted.sums()


def _publish(path: Path) -> None:
    os.replace(file_of(path, ".part"), path)


def _to_disk(folder: Path) -> None:
    """The folder's names, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(folder: Path, step: int, weights: dict[str, Any], state: dict[str, Any]) -> Path:
    """Save a resume point and return its prefix.

    Args:
        folder: where.
        step: optimizer steps done.
        weights: of the encoder.
        state: everything else: tensors and plain values.

    Raises:
        InputError: the disk is full, or the folder may not be written; points that were there are intact.
    """
    prefix = prefix_of(folder, step)
    files = {file_of(prefix, WEIGHTS): weights, file_of(prefix, STATE): state}
    sums_file = file_of(prefix, SUMS)
    try:
        sums = {path.name: _write_part(path, content) for path, content in files.items()}
        with file_of(sums_file, ".part").open("w", encoding="utf-8") as file:
            json.dump({"step": step, "files": sums, "shares": _sizes(file_of(prefix, SHARES))}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        _publish(sums_file)  # first: a kill between two of these leaves a point whose sums do not agree
        for path in files:
            _publish(path)
        _to_disk(folder)
    except OSError as error:
        raise storage_error(prefix, error) from error
    finally:
        for path in (*files, sums_file):
            with suppress(OSError):
                file_of(path, ".part").unlink(missing_ok=True)
    return prefix


def _sizes(shares: Path) -> dict[str, int] | None:
    """Bytes of DeepSpeed's files by name, each brought to the disk; None without DeepSpeed."""
    if not shares.is_dir():
        return None
    sizes = {}
    for path in sorted(shares.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sizes[path.relative_to(shares).as_posix()] = path.stat().st_size
    return sizes


def steps_in(folder: Path) -> list[int]:
    """Steps of the resume points in a folder, ascending; those without a meta file are none."""
    matches = (_MARK.fullmatch(path.name) for path in folder.glob("*.meta.bin"))
    return sorted(int(match.group(1)) for match in matches if match)


def remove(folder: Path, step: int) -> None:
    """Delete one resume point, its mark first."""
    prefix = prefix_of(folder, step)
    for suffix in (STATE, WEIGHTS, SUMS):
        file_of(prefix, suffix).unlink(missing_ok=True)
    shutil.rmtree(file_of(prefix, SHARES), ignore_errors=True)


def keep_only(folder: Path, steps: Iterable[int]) -> None:
    """Delete all resume points of a folder but these, and what a killed run left of others."""
    kept = set(steps)
    for step in steps_in(folder):
        if step not in kept:
            remove(folder, step)
    for path in folder.glob("pytorch_model_step_*"):
        number = path.name.removeprefix("pytorch_model_step_").split(".")[0]
        if path.suffix == ".part" or not number.isdigit() or int(number) not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def require(source: str) -> None:
    """Refuse a `--resume_from_checkpoint` that names nothing; quick, what is there is not read.

    Raises:
        InputError: it is neither a resume point's prefix nor a folder with one.
    """
    if not Path(source).is_dir():
        for suffix in (WEIGHTS, STATE):
            path = file_of(Path(source), suffix)
            if not path.is_file():
                raise InputError(
                    f"--resume_from_checkpoint={source}: {path} does not exist; give a prefix or its folder."
                )
    elif not steps_in(Path(source)):
        raise InputError(f"--resume_from_checkpoint={source}: the folder holds no pytorch_model_step_*.meta.bin.")


def find(source: str) -> Path:
    """Prefix of the resume point to go on from: the one that is named, or a folder's newest that is intact.

    Raises:
        InputError: there is none, the named one is damaged, or all are.
    """
    require(source)
    folder = Path(source)
    if not folder.is_dir():
        damage = damage_of(folder)
        if damage:
            raise InputError(f"--resume_from_checkpoint={source}: {damage}; give an older one.")
        return folder
    damages = []
    for step in reversed(steps_in(folder)):
        damage = damage_of(prefix_of(folder, step))
        if damage is None:
            return prefix_of(folder, step)
        logger.warning("%s: going on from the resume point before it", damage)
        damages.append(damage)
    raise InputError(
        f"--resume_from_checkpoint={source}: {damages[0]} and there is no intact one before it; start from the model "
        "in the folder with pretrain_model_name_or_path."
    )


def damage_of(prefix: Path) -> str | None:
    """What is wrong with a resume point's files, in a few words; None when they are as they were written."""
    described = _read_sums(file_of(prefix, SUMS))
    sums = described.get("files") or {}
    for name, size in (described.get("shares") or {}).items():
        path = file_of(prefix, SHARES) / name
        there = path.stat().st_size if path.is_file() else 0
        if there != size:
            return f"{path} is damaged ({there:,} of {size:,} bytes)"
    for suffix in (WEIGHTS, STATE):
        path = file_of(prefix, suffix)
        known = sums.get(path.name)
        if known is None:  # of a version that wrote no sums
            try:
                torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except Exception as error:  # torch raises many kinds for a damaged file
                return f"{path} is damaged ({type(error).__name__})"
        elif not path.is_file() or path.stat().st_size != known["bytes"]:
            there = path.stat().st_size if path.is_file() else 0
            return f"{path} is damaged ({there:,} of {known['bytes']:,} bytes)"
        elif _sha256(path) != known["sha256"]:
            return f"{path} is damaged (its checksum is another)"
    return None


def _read_sums(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(prefix: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and state of a resume point that `find` gave.

    Raises:
        InputError: a file cannot be read here: another machine's disk, or damage.
    """
    parts = []
    for suffix in (WEIGHTS, STATE):
        path = file_of(prefix, suffix)
        try:
            parts.append(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
        except Exception as error:
            raise InputError(f"--resume_from_checkpoint: {path} is damaged or not on this machine.") from error
    return parts[0], parts[1]
