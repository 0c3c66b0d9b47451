"""An engine that keeps what has been mined in files, and takes it from there when it starts again."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from easynlp_fashionklip.errors import storage_error
from easynlp_fashionklip.graph.directory import write_file
from easynlp_fashionklip.graph.engines.base import Engine
from easynlp_fashionklip.graph.engines.chunk import MinedChunk
from easynlp_fashionklip.graph.mining import ConceptPhrase

if TYPE_CHECKING:
    from collections.abc import Generator

_ARRAYS = ("starts", "spelling", "name_starts")


class ResumedEngine(Engine):
    """Mines with another engine and keeps each chunk in `folder`.

    Whoever uses it answers for the folder: it must be of the same texts, pipeline and version of this package.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        """Args: engine: mines what is not there yet. folder: of the chunks; made when the first is kept."""
        self._engine = engine
        self._folder = folder

    def _mined(self, chunks: Iterator[list[str]]) -> Generator[MinedChunk, None, None]:
        done = 0
        while (kept := read_chunk(self._path(done))) is not None:
            if next(chunks, None) is None:
                return
            yield kept
            done += 1
        with closing(self._engine._mined(chunks)) as mined:
            for number, chunk in enumerate(mined, done):
                write_chunk(chunk, self._path(number))
                yield chunk

    def _path(self, number: int) -> Path:
        return self._folder / f"mined-{number:06d}.npz"


def write_chunk(chunk: MinedChunk, path: Path) -> None:
    """Write a chunk atomically, its texts as JSON: they may hold lone surrogates.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    concepts = [(one.phrase, one.head, one.modifiers, one.surface) for one in chunk.concepts]
    texts = np.frombuffer(json.dumps({"concepts": concepts, "names": chunk.names}).encode(), dtype=np.uint8)
    arrays = {name: getattr(chunk, name) for name in _ARRAYS}
    try:
        path.parent.mkdir(exist_ok=True)
        with write_file(path) as file:
            np.savez(file, texts=texts, **arrays)
    except OSError as error:
        raise storage_error(path, error) from error


def read_chunk(path: Path) -> MinedChunk | None:
    """The chunk of a file; None if there is none or it is damaged, which mining it again mends."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            texts = json.loads(arrays["texts"].tobytes())
            starts, spelling, name_starts = (arrays[name] for name in _ARRAYS)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        os.unlink(path)
        return None
    concepts = [ConceptPhrase(phrase, head, tuple(own), surface) for phrase, head, own, surface in texts["concepts"]]
    return MinedChunk(starts, spelling, concepts, name_starts, texts["names"])
