"""Telling encoders apart that share a name: the same folder after more training is another encoder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import torch

from easynlp_fashionklip.models.dual_encoder import DualEncoder

_BYTES = 16


def _unusual_activation(model: DualEncoder) -> list[str]:
    """Of a CLIP, whose weights do not show it: the same file can be read with either."""
    activation = getattr(getattr(model.config, "vision_config", None), "hidden_act", "quick_gelu")
    return [] if model.config.model_type != "clip" or activation == "quick_gelu" else [str(activation)]


def encoder_digest(model: DualEncoder) -> str:
    """Hash of what determines embeddings of pictures and prompts: towers and heads, and how pictures are prepared.

    What a model's concepts add to texts is no part of it.

    Takes about a second for a gigabyte of weights.
    """
    digest = hashlib.blake2b(digest_size=_BYTES)
    preprocessing = asdict(model.processor.preprocessing)
    described = [str(model.config.model_type), model.processor.max_length, preprocessing, *_unusual_activation(model)]
    digest.update(json.dumps(described, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.backend.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
