"""EasyNLP's own command, which runs every app but ours; here, as `app/` alone imports `easynlp`."""

from __future__ import annotations

from easynlp.cli import main

__all__ = ["main"]
