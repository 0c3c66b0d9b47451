"""Ctrl-C and termination: finish the step, save, leave; a second Ctrl-C leaves at once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from easynlp_fashionklip import distributed

EXIT_INTERRUPTED = 130


class Interrupted(Exception):
    """Training was stopped by a signal after saving; the message says how to go on."""


class StopSignals:
    """Context in which SIGINT and SIGTERM set a flag instead of killing."""

    def __init__(self) -> None:
        self._asked = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True

    def asked(self) -> bool:
        """Whether any process was told to stop; all processes must call this at the same step."""
        return distributed.any_rank(self._asked)
