"""GELU or its approximation: the one thing of a CLIP that its weights do not show."""

from __future__ import annotations

import logging
import re
from typing import Literal

from easynlp_fashionklip.models.conversion.clip_map import NUMBERS
from easynlp_fashionklip.models.conversion.state_dict import EASYNLP_PREFIXES, Weights

logger = logging.getLogger(__name__)

Activation = Literal["auto", "gelu", "quick_gelu"]
GELU, QUICK_GELU = "gelu", "quick_gelu"
METADATA = "activation"

_OPENAI_FILES = re.compile(r"ViT-(B-32|B-16|L-14|L-14-336px)\.pt")
_QUICK_NAMES = re.compile(r"quick_?gelu|openai|pai-clip", re.IGNORECASE)
_OPEN_CLIP_RUN = re.compile(r"model_[\w-]+-lr_")  # what open_clip's training calls a run unless told otherwise
_RELEASE_WRAPPER = frozenset({"epoch", "name", "optimizer"})


def activation_of(weights: Weights, asked: str, configured: str = "") -> str:
    """The activation of the towers' hidden layers, as transformers names it, with a line in the log that says why.

    In this order: what the user asks for; what stands in a configuration beside the file; signs of OpenAI's models,
    which the FashionKLIP release and EasyNLP continue (all `quick_gelu`): a TorchScript archive, their three numbers
    beside the weights, their file names, EasyNLP's prefix, a training checkpoint of the release. Anything else is taken
    for an open_clip model, whose plain names stand for `gelu`, and warned of.

    Args:
        weights: the opened file.
        asked: "gelu", "quick_gelu", or "auto" to read the signs.
        configured: what a configuration beside the file says; "" if there is none.
    """
    if asked != "auto":
        return asked
    if configured:
        return configured
    if weights.metadata.get(METADATA) in (GELU, QUICK_GELU):
        return weights.metadata[METADATA]
    sign = _sign_of_openai(weights)
    if sign:
        logger.info("%s: %s, so its activation is quick_gelu", weights.path, sign)
        return QUICK_GELU
    logger.warning(
        "%s does not say which activation it was trained with; gelu is assumed, as for open_clip's plain models. "
        "Give clip_activation=quick_gelu (convert: --activation) for models of OpenAI, MetaCLIP or DFN.",
        weights.path,
    )
    return GELU


def _sign_of_openai(weights: Weights) -> str:
    """Why the weights must be of OpenAI's making or a continuation of it; "" if nothing says so."""
    if weights.torchscript:
        return "it is a TorchScript archive, as OpenAI's are"
    if any(key in weights.state for key in NUMBERS):
        return "it holds the three numbers of OpenAI's models"
    if _OPENAI_FILES.fullmatch(weights.path.name) or _QUICK_NAMES.search(weights.path.name):
        return "it has the name of a model that OpenAI's weights began"
    if _QUICK_NAMES.search(weights.run):
        return f"it is from the run {weights.run!r}"
    if set(weights.prefixes) & set(EASYNLP_PREFIXES):
        return "it was written by EasyNLP's CLIP application"
    if weights.wrapper == _RELEASE_WRAPPER and not _OPEN_CLIP_RUN.search(weights.run):
        return "it is a checkpoint of the FashionKLIP release"
    return ""
