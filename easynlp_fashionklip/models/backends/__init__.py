"""One module per family of checkpoints; `BACKENDS` finds the family by the `model_type` of config.json."""

from __future__ import annotations

from easynlp_fashionklip.models.backends.base import Backend
from easynlp_fashionklip.models.backends.chinese_clip import ChineseClipBackend
from easynlp_fashionklip.models.backends.clip import ClipBackend
from easynlp_fashionklip.models.backends.pair import PairBackend
from easynlp_fashionklip.models.backends.siglip import SiglipBackend
from easynlp_fashionklip.models.backends.vision_text import VisionTextBackend

BACKENDS: dict[str, type[Backend]] = {
    backend.model_type: backend
    for backend in (ClipBackend, SiglipBackend, ChineseClipBackend, VisionTextBackend, PairBackend)
}

UNSUPPORTED = {
    "siglip2": "pictures of any shape, cut into lists of patches (NaFlex), are not supported; take the SigLIP 2 "
    "checkpoint of one resolution instead, such as google/siglip2-base-patch16-224, whose model_type is siglip",
}
"""Why checkpoints of these families, which one might expect to work, do not."""
