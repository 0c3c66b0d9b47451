"""Handles that no two threads or processes share: a file's position would be moved by the other side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerThread(threading.local, Generic[T]):
    """What `make` returns, made anew by each thread and after each fork."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._pid = -1
        self._value: T | None = None

    def get(self) -> T:
        """This thread's own."""
        if self._value is None or self._pid != os.getpid():
            self._value = self._make()
            self._pid = os.getpid()
        return self._value
