"""One contrastive batch, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from easynlp_fashionklip.training.engine import Engine
from easynlp_fashionklip.training.task import Batch, FashionKLIPTask


def contrastive_step(
    task: FashionKLIPTask, engine: Engine, micro_batches: Sequence[Batch], scale: float = 1.0, last: bool = True
) -> dict[str, Tensor]:
    """Add the gradient of a batch's loss times `scale`; the detached losses of `FashionKLIPTask.compute_loss`."""
    (batch,) = micro_batches
    with engine.synchronised(last):
        with engine.autocast():
            outputs = engine.module(batch)
        # In full precision: logits reach 100, where bfloat16 steps by a half.
        losses = task.compute_loss(outputs)
        engine.backward(losses["loss"] * scale, last)
    return {name: value.detach() for name, value in losses.items()}
