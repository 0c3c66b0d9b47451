"""Forward and backward of one contrastive batch, which may be larger than memory (GradCache, Gao et al. 2021).

The loss of a contrastive batch couples all its pairs, but only through their embeddings. So the embeddings of all
micro-batches are computed first, keeping no activations; then the loss and its gradient g with respect to each
embedding; then each micro-batch is encoded again and <embeddings, g> takes the loss's place in its backward pass. The
gradients are those of the whole batch at once, with the activations of one micro-batch in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from easynlp_fashionklip.training.task import Batch, FashionKLIPTask

EMBEDS = ("image_embeds", "text_embeds", "concept_embeds")
_Gradients = list[Tensor | None]


class StepEngine(Protocol):
    """What a contrastive step asks of the engine that trains."""

    @property
    def module(self) -> Any:
        """`module(batch)` encodes; wrapped where several processes train."""

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of the encoders."""

    def synchronised(self, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward: gradients travel between processes only when `last`."""

    def backward(self, loss: Tensor, last: bool) -> None:
        """Add a loss's gradients to the parameters'."""


def contrastive_step(
    task: FashionKLIPTask, engine: StepEngine, micro_batches: Sequence[Batch], scale: float = 1.0, last: bool = True
) -> dict[str, Tensor]:
    """Add the gradients of one contrastive batch to the parameters'.

    Args:
        task: the task behind `engine.module`.
        engine: runs forward and backward.
        micro_batches: this process's share of the contrastive batch, at least one of at least one row; the shares of
            the processes may differ in rows and in number.
        scale: the loss's factor, such as 1/accumulation.
        last: whether this is the optimizer step's last contrastive batch.

    Returns:
        detached scalars of the global batch, the same on every process: `loss` (without `scale`), `itc_loss`,
        `cva_loss`, `cva_weight` and `logit_scale` (the inverse temperature).
    """
    losses = _Step(task, engine, micro_batches).run(scale, last)
    return {name: value.detach() for name, value in losses.items()}


class _Step:
    """The micro-batches of one contrastive batch, each with its part of this process's share of the concepts.

    The last micro-batch keeps its activations and is not encoded twice: it is the first to go backward. So a batch of
    one micro-batch costs one forward and one backward pass, and all processes do the same whatever their number of
    micro-batches: messages are exchanged for the loss, and with the last backward pass.
    """

    def __init__(self, task: FashionKLIPTask, engine: StepEngine, micro_batches: Sequence[Batch]) -> None:
        self.task, self.engine = task, engine
        self.whole = task.global_batch(micro_batches)
        concepts = self.whole.concepts[self.whole.own_concepts].tensor_split(len(micro_batches))
        self.chunks = [
            {**{name: value for name, value in batch.items() if name != "label_ids"}, "concepts": part}
            for batch, part in zip(micro_batches, concepts, strict=True)
        ]

    def run(self, scale: float, last: bool) -> dict[str, Tensor]:
        """Forward and backward of everything; see `contrastive_step`."""
        *cached, kept = self.chunks
        states, embeds = [], []
        for chunk in cached:
            states.append(_random_state())
            with torch.no_grad():
                embeds.append(self._encode(chunk))
        with self.engine.synchronised(last and not cached):
            embeds.append(self._encode(kept))
            losses, gradients = self._loss_gradients(embeds, scale)
            self._backward(embeds[-1], gradients.pop(), last and not cached)
        after = _random_state()
        del embeds
        for number, chunk in enumerate(cached):
            final = last and number == len(cached) - 1
            _set_random_state(states[number])  # the same dropout as when the loss was computed
            with self.engine.synchronised(final):
                self._backward(self._encode(chunk), gradients[number], final)
        _set_random_state(after)
        return losses

    def _encode(self, chunk: Batch) -> list[Tensor]:
        with self.engine.autocast():
            outputs = self.engine.module(chunk)
        return [outputs[name] for name in EMBEDS]

    def _loss_gradients(self, embeds: list[list[Tensor]], scale: float) -> tuple[dict[str, Tensor], list[_Gradients]]:
        """The losses, and of each micro-batch the loss's gradients in its embeddings and in the loss's parameters."""
        leaves = [[one.detach().requires_grad_() for one in chunk] for chunk in embeds]
        joined = {name: torch.cat(parts) for name, parts in zip(EMBEDS, zip(*leaves, strict=True), strict=True)}
        # In full precision: logits reach 100, where bfloat16 steps by a half.
        losses = self.task.compute_loss({**joined, "global_batch": self.whole})
        parameters = self.task.loss_parameters()
        flat = [one for chunk in leaves for one in chunk]
        found = torch.autograd.grad(scale * losses["loss"], [*flat, *parameters], allow_unused=True)
        # Each micro-batch bears its share of the parameters' gradients, so that each backward pass meets them all.
        shared = [None if one is None else one / len(leaves) for one in found[len(flat) :]]
        size = len(EMBEDS)
        return losses, [[*found[start : start + size], *shared] for start in range(0, len(flat), size)]

    def _backward(self, embeds: list[Tensor], gradients: _Gradients, last: bool) -> None:
        """Back-propagate <embeddings, gradients>, whose gradients are those of the loss."""
        total = torch.zeros((), device=embeds[0].device)
        for value, gradient in zip([*embeds, *self.task.loss_parameters()], gradients, strict=True):
            if gradient is not None and value.requires_grad:
                total = total + (value * gradient).sum()
        self.engine.backward(total, last)


def _random_state() -> tuple[Tensor, Tensor | None]:
    """Of the CPU, and of the current GPU where there is one in use."""
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None


def _set_random_state(state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])
