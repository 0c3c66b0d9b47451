"""AdamW with warm-up and cosine decay, with the two methods EasyNLP's trainer asks an optimizer for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from easynlp_fashionklip.models.backends.base import Backend
from easynlp_fashionklip.models.concept_texts import ConceptTexts

_FUSED_DEVICES = ("cpu", "cuda")


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW`, fused where torch can, that tells EasyNLP its current rate and the length of the run."""

    def __init__(self, groups: Iterable[dict[str, Any]], learning_rate: float, total_training_steps: int) -> None:
        listed = list(groups)
        super().__init__(listed, lr=learning_rate, fused=_can_fuse(listed) or None)
        self.total_training_steps = total_training_steps

    def get_current_lr(self, *_: object) -> float:
        """Learning rate of the first parameter group, which with `parameter_groups` is the heads'."""
        return float(self.param_groups[0]["lr"])


def _can_fuse(groups: list[dict[str, Any]]) -> bool:
    """Whether one kernel can step them all: floating-point parameters on devices that have it, nothing else."""
    parameters = [parameter for group in groups for parameter in group["params"]]
    return all(p.device.type in _FUSED_DEVICES and p.is_floating_point() for p in parameters)


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    learning_rate: float,
    layer_decay: float = 1.0,
    node_learning_rate: float = 0.0,
) -> list[dict[str, Any]]:
    """What trains, by weight decay and learning rate, the highest rate first; a group without parameters is left out.

    The last group is that of the concepts' node embeddings, which have a rate of their own and do not decay.

    Matrices and filters decay; biases, norms and the temperature do not (Loshchilov & Hutter's usual practice). A
    tower's top layer learns at `layer_decay` times `learning_rate`, each layer at `layer_decay` times the rate of the
    one above it, the embeddings last; heads and temperature, and whatever is in no tower, at the full rate (Clark et
    al., 2020, ELECTRA; Bao et al., 2022, BEiT).

    Args:
        model: holds a `Backend` where `layer_decay` is to have an effect.
        weight_decay: of those that decay.
        learning_rate: of the heads.
        layer_decay: above 0, at most 1.
        node_learning_rate: of node embeddings.
    """
    below = _layers_below_head(model)
    nodes = [module.nodes for module in model.modules() if isinstance(module, ConceptTexts)]
    nodes = [parameter for parameter in nodes if parameter.requires_grad]
    apart = {id(parameter) for parameter in nodes}
    found: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad and id(parameter) not in apart:
            steps = below.get(id(parameter), 0) if layer_decay != 1.0 else 0
            found.setdefault((steps, parameter.ndim < 2), []).append(parameter)
    groups: list[dict[str, Any]] = [
        {
            "params": found[steps, is_vector],
            "weight_decay": 0.0 if is_vector else weight_decay,
            "lr": learning_rate * layer_decay**steps,
        }
        for steps, is_vector in sorted(found)
    ]
    if nodes:
        groups.append({"params": nodes, "weight_decay": 0.0, "lr": node_learning_rate})
    return groups


def _layers_below_head(model: nn.Module) -> dict[int, int]:
    """How many layers below the head a parameter (by its `id`) of a tower is: 1 for the top layer's."""
    below = {}
    for backend in (module for module in model.modules() if isinstance(module, Backend)):
        for tower in (backend.image_tower, backend.text_tower):
            for number, block in enumerate(tower.blocks):
                for module in block:
                    for parameter in module.parameters(recurse=False):
                        below[id(parameter)] = len(tower.blocks) - number
    return below


def warmup_cosine(optimizer: torch.optim.Optimizer, warmup_steps: int, total_steps: int) -> LambdaLR:
    """Every group's rate rises linearly over `warmup_steps`, then falls along a cosine to 0 at `total_steps`."""

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)
