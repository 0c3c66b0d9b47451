"""One module per family of checkpoints; `BACKENDS` finds the family by the `model_type` of config.json."""

from __future__ import annotations

from easynlp_fashionklip.models.backends.base import Backend
from easynlp_fashionklip.models.backends.clip import ClipBackend
from easynlp_fashionklip.models.backends.pair import PairBackend
from easynlp_fashionklip.models.backends.vision_text import VisionTextBackend

BACKENDS: dict[str, type[Backend]] = {
    backend.model_type: backend for backend in (ClipBackend, VisionTextBackend, PairBackend)
}
