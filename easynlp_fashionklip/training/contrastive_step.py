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

from torch import Tensor

from easynlp_fashionklip.training.task import Batch, FashionKLIPTask


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
    if len(micro_batches) != 1:
        raise NotImplementedError
    with engine.synchronised(last):
        with engine.autocast():
            outputs = engine.module(micro_batches[0])
        losses = task.compute_loss(outputs)
        engine.backward(losses["loss"] * scale, last)
    return {name: value.detach() for name, value in losses.items()}
