"""open_clip itself, which parity is measured against; torchvision, which it imports for pictures, may be missing."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

PEER = Path(__file__).parents[3] / "examples" / "benchmarks" / "open_clip_peer.py"


@cache
def _imported() -> ModuleType:
    """Imported once; what stood in for torchvision meanwhile is taken away again, lest others find it."""
    spec = importlib.util.spec_from_file_location("open_clip_peer", PEER)
    assert spec is not None and spec.loader is not None
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    if importlib.util.find_spec("torchvision") is not None:
        return importlib.import_module("open_clip")
    peer._stand_in()
    try:
        return importlib.import_module("open_clip")
    finally:
        for name in peer._STANDS_IN:
            sys.modules.pop(name, None)


def open_clip() -> ModuleType:
    """The package; skips the test where it is not installed."""
    for name, requirement in (("open_clip", "open_clip_torch==3.3.0"), ("ftfy", "ftfy"), ("regex", "regex")):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is missing; pip install --no-deps {requirement}")
    return _imported()
