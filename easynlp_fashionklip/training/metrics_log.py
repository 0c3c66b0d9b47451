"""The numbers of a run: `log/metrics.jsonl`, one JSON object a line, and whatever else listens."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

FILE_NAME = "metrics.jsonl"
Listener = Callable[[Mapping[str, float], int], None]

logger = logging.getLogger(__name__)


class MetricsLog:
    """Appends to `<folder>/metrics.jsonl`; a full disk costs lines, never the run.

    A value that is no number is written as null, as JSON has no NaN; listeners are not told it.
    """

    def __init__(self, folder: Path, listeners: Sequence[Listener] = ()) -> None:
        """Args: folder: exists. listeners: called with the finite values and the step, for TensorBoard and such."""
        self.path = folder / FILE_NAME
        self._listeners = list(listeners)
        self._failed = False

    @property
    def position(self) -> int:
        """Bytes written so far: where a resumed run goes on."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add a line: `step` and these values."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        plain = {name: finite.get(name) for name in values}
        try:
            self._append(json.dumps({"step": step, **plain}) + "\n")
            for listener in self._listeners:
                listener(finite, step)
        except OSError as error:
            if not self._failed:
                logger.warning("%s cannot be written (%s): some of its lines will be missing", self.path, error)
            self._failed = True

    def _append(self, line: str) -> None:
        """The whole line or nothing of it, so that the next one does not go on in its midst."""
        before = self.position
        try:
            with self.path.open("ab", buffering=0) as file:
                file.write(line.encode())
        except OSError:
            with suppress(OSError):
                os.truncate(self.path, before)
            raise


def cut(path: Path, step: int, position: int | None = None) -> None:
    """Keep of a metrics file what was there when a resume point was saved; a new or resumed run writes on from there.

    Args:
        path: of the file; it need not be there.
        step: optimizer steps of the resume point, 0 for a new run.
        position: bytes the file had then; None, or in a file that is another, lines up to `step` are kept.
    """
    if not path.is_file():
        return
    content = path.read_bytes()
    if (
        position is not None
        and len(content) >= position
        and (position == 0 or content[position - 1 : position] == b"\n")
    ):
        kept = content[:position]
    else:
        lines = content.splitlines(keepends=True)
        kept = b"".join(line for line in lines if (known := _step_of(line)) is not None and known <= step)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(kept)
    os.replace(temporary, path)


def _step_of(line: bytes) -> int | None:
    """The step of a line; None for one that a kill has left unfinished."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None
