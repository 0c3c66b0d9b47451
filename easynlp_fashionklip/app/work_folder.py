"""The finished parts of a graph that is being built: a killed build goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import spacy
import torch
from torch import Tensor

from easynlp_fashionklip import __version__
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.texts import TextTable
from easynlp_fashionklip.errors import InputError, storage_error
from easynlp_fashionklip.graph.directory import write_file
from easynlp_fashionklip.graph.engines import Engine
from easynlp_fashionklip.graph.engines.resumed import ResumedEngine
from easynlp_fashionklip.inference.encode import BATCH_SIZE, encode_images_to
from easynlp_fashionklip.models.dual_encoder import DualEncoder

logger = logging.getLogger(__name__)

Fingerprint = dict[str, str]

_SECONDS_BETWEEN_COMMITS = 1.0
_CHUNK = 1 << 20
# These change how a graph is built, not what is built.
_WITHOUT_EFFECT = ("data_workers", "mining_processes")


class WorkFolder:
    """A folder `.<name>.partial` beside a graph's; whoever uses it must hold the graph's lock.

    It holds `fingerprint.json`, `mined-<n>.npz` (one a chunk of texts), `embeddings.f32` (rows of float32, appended)
    and `encoded.json` (how many of its rows are on the disk for good).
    """

    def __init__(self, target: Path, folder: Path | None = None) -> None:
        """Args: target: of the graph. folder: another place for the parts."""
        self.path = folder or target.with_name(f".{target.resolve().name}.partial")

    def open(self, fingerprint: Fingerprint) -> bool:
        """Take up the parts that belong to this build, if any; throw away others.

        Args:
            fingerprint: what the parts depend on: name to value.

        Returns:
            Whether parts were taken up.

        Raises:
            InputError: the folder holds something else, or cannot be written.
        """
        known = self._fingerprint()
        if known == fingerprint:
            logger.info("going on with the parts in %s", self.path)
            return True
        if known is not None:
            differing = [name for name in fingerprint if known.get(name) != fingerprint[name]]
            logger.info("%s is of another build (%s): starting anew", self.path, ", ".join(differing) or "other parts")
        elif self.path.exists() and any(self.path.iterdir()):
            logger.info("%s cannot be read: starting anew", self.path)
        try:
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir(parents=True, exist_ok=True)
            self._write_json("fingerprint.json", fingerprint)
        except OSError as error:
            raise storage_error(self.path, error) from error
        return False

    @contextmanager
    def taken_up(self, fingerprint: Fingerprint) -> Iterator[None]:
        """`open` it; what fails before it has made any part leaves nothing behind."""
        self.open(fingerprint)
        try:
            yield
        except InputError:
            if [path.name for path in self.path.iterdir()] == ["fingerprint.json"]:
                self.remove()
            raise

    def remove(self) -> None:
        """Throw the parts away: the graph is written."""
        shutil.rmtree(self.path, ignore_errors=True)

    def engine(self, engine: Engine) -> Engine:
        """`engine`, keeping what it mines."""
        return ResumedEngine(engine, self.path)

    def encode(self, model: DualEncoder, table: PairTable, workers: int) -> np.ndarray:
        """Embed the pictures of a table, as `inference.encode.encode_images` does, keeping what has been embedded.

        Returns:
            float32 (N, d), mapped from a file in the work folder; changes do not reach the file.

        Raises:
            InputError: a picture cannot be read, or the disk is full.
        """
        path, row_bytes = self.path / "embeddings.f32", 4 * model.embed_dim
        # Batches as in an uninterrupted run: the last bits of an embedding may depend on its batch.
        done = min(self._encoded(path, row_bytes), len(table))
        done = done if done == len(table) else done // BATCH_SIZE * BATCH_SIZE
        if done:
            logger.info("%d of %d pictures are encoded already", done, len(table))
        try:
            with path.open("ab") as file:
                file.truncate(done * row_bytes)
                writer = _Appender(file.fileno(), done, self)
                rest = table if not done else table.subset(np.arange(done, len(table)))
                if len(rest):
                    encode_images_to(writer.store, model, rest, workers=workers)
                writer.commit()
        except OSError as error:
            raise storage_error(path, error) from error
        if not len(table):
            return np.zeros((0, model.embed_dim), np.float32)
        return np.memmap(path, np.float32, mode="c", shape=(len(table), model.embed_dim))

    def commit_rows(self, count: int) -> None:
        """Note that so many rows are on the disk."""
        self._write_json("encoded.json", {"rows": count})

    def _encoded(self, path: Path, row_bytes: int) -> int:
        try:
            rows = int(json.loads((self.path / "encoded.json").read_text(encoding="utf-8"))["rows"])
            return max(0, min(rows, path.stat().st_size // row_bytes))
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _fingerprint(self) -> Fingerprint | None:
        path = self.path / "fingerprint.json"
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; remove it, or give another folder for the parts of the build.")
        foreign = not path.is_file() and self.path.is_dir() and not self.path.name.startswith(".")
        if foreign and any(self.path.iterdir()):
            raise InputError(f"{self.path} holds other files; give an empty folder for the parts of the build.")
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return known if isinstance(known, dict) else None

    def _write_json(self, name: str, content: object) -> None:
        with write_file(self.path / name) as file:
            file.write(json.dumps(content, indent=2).encode())


class _Appender:
    """Appends embeddings in order; once a second those that are there are flushed and counted as done."""

    def __init__(self, descriptor: int, done: int, folder: WorkFolder) -> None:
        self._descriptor = descriptor
        self._done = done
        self._start = done
        self._folder = folder
        self._committed = time.monotonic()

    def store(self, rows: Tensor, embeds: Tensor) -> None:
        if int(rows[0]) + self._start != self._done:
            raise ValueError(f"row {int(rows[0])} comes after {self._done - self._start} rows")
        content = memoryview(embeds.numpy().astype("<f4").tobytes())
        while content:
            content = content[os.write(self._descriptor, content) :]
        self._done += len(rows)
        if time.monotonic() - self._committed >= _SECONDS_BETWEEN_COMMITS:
            self.commit()

    def commit(self) -> None:
        os.fsync(self._descriptor)
        self._folder.commit_rows(self._done)
        self._committed = time.monotonic()


# --------------------------------------------------------------------------------------------------------- fingerprint


def fingerprint_of(
    table: PairTable, config: AppConfig, pipeline: str, encoder: str, device: torch.device
) -> Fingerprint:
    """What the parts of a build depend on.

    Args:
        table: the checked rows; its file is read whole, its picture files are asked for size and time.
        config: all settings.
        pipeline: name of the spaCy pipeline.
        encoder: see `models.digest.encoder_digest`.
        device: where pictures are encoded.
    """
    settings = {name: value for name, value in asdict(config).items() if name not in _WITHOUT_EFFECT}
    return {
        "catalogue": _described(table.catalogue.path, table.catalogue.files),
        "rows": f"{len(table)} rows, pictures {_pictures(table)}",
        "columns": f"{table.text_column}, {table.image_column}, {table.product_id_column}",
        "settings": json.dumps(settings, sort_keys=True),
        "spaCy pipeline": f"{pipeline}, spaCy {spacy.__version__}",
        "model": encoder,
        "versions": f"easynlp-fashionklip {__version__}, torch {torch.__version__}, {device.type}",
    }


def text_fingerprint(table: TextTable, config: AppConfig, pipeline: str) -> Fingerprint:
    """What the parts of a build from texts alone depend on; the file is read whole."""
    settings = {name: value for name, value in asdict(config).items() if name not in _WITHOUT_EFFECT}
    return {
        "texts": _described(table.path, table.files),
        "columns": f"{', '.join(table.columns)}; {table.product_id_column}",
        "settings": json.dumps(settings, sort_keys=True),
        "spaCy pipeline": f"{pipeline}, spaCy {spacy.__version__}",
        "versions": f"easynlp-fashionklip {__version__}",
    }


def _described(path: Path, files: Sequence[Path]) -> str:
    """A table's place, size and content."""
    digest = hashlib.blake2b(digest_size=16)
    for one in files:
        with one.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    size = sum(one.stat().st_size for one in files)
    return f"{path.resolve()}, {size} bytes, {digest.hexdigest()}"


def _pictures(table: PairTable) -> str:
    """Hash of the rows' picture files by path, size and time; what is in the table itself counts with it."""
    digest = hashlib.blake2b(digest_size=16)
    for position in range(len(table)):
        digest.update(f"{table.catalogue_row(position)} ".encode())
        image = table.pair(position).image
        if image is not None and image.path is not None:
            status = image.path.stat()
            digest.update(f"{image.path} {status.st_size} {status.st_mtime_ns}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
