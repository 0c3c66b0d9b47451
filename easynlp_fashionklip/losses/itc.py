"""Image-text contrastive losses with duplicates as positives: InfoNCE and the pairwise sigmoid (design section 4).

Both are a mean over the pairs of a global batch, so a process may compute the part of its own pairs alone (`rows`): the
parts add up to the loss.
"""

from __future__ import annotations

from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from easynlp_fashionklip.config import ItcLoss
from easynlp_fashionklip.losses.functional import soft_target_nll
from easynlp_fashionklip.losses.tiles import tiled_sum

SIGMOID_INITIAL_SCALE, SIGMOID_INITIAL_BIAS = 10.0, -10.0  # SigLIP (Zhai et al. 2023), section 3


def positive_pairs(
    product_keys: Tensor | None,
    text_keys: Tensor | None,
    batch_size: int,
    device: torch.device,
    rows: slice | None = None,
) -> Tensor:
    """Which texts are true of which pictures: the pair's own, and those of the same product or with identical text.

    Args:
        product_keys: int64 (B,) hashes of the product ids, or None.
        text_keys: int64 (B,) hashes of the texts, or None.
        batch_size: B.
        device: where the result lies.
        rows: the rows of the result that are asked for; all of them by default.

    Returns:
        bool (B, B), symmetric, true on the diagonal; its `rows`.
    """
    rows = rows or slice(0, batch_size)
    numbers = torch.arange(batch_size, device=device)
    positives = numbers[rows, None] == numbers
    for keys in (product_keys, text_keys):
        if keys is not None:
            keys = keys.to(device)
            positives = positives | (keys[rows, None] == keys)
    return positives


class ImageTextContrastiveLoss(nn.Module):
    """Symmetric InfoNCE over a (global) batch; pairs sharing product or text are positives, never negatives.

    A row's target is spread evenly over its positives, so that the loss of a batch without duplicates is CLIP's.

    Args:
        chunk: rows of the similarity matrix that exist at a time; 0 for all.
    """

    def __init__(self, chunk: int = 0) -> None:
        super().__init__()
        self.chunk = chunk

    def forward(
        self,
        image_embeds: Tensor,
        text_embeds: Tensor,
        scale: Tensor,
        product_keys: Tensor | None = None,
        text_keys: Tensor | None = None,
        rows: slice | None = None,
    ) -> Tensor:
        """Compute the loss, or what some of its pairs contribute.

        Args:
            image_embeds: (B, d), unit norm.
            text_embeds: (B, d), unit norm; row i belongs to picture i.
            scale: inverse temperature, a scalar or (1,).
            product_keys: int64 (B,), equal for pictures of one product.
            text_keys: int64 (B,), equal for identical texts.
            rows: pairs whose pictures and texts are the queries; all by default. The parts of rows that are disjoint
                and together all of the batch add up to the loss.

        Returns:
            scalar, the mean of both directions.
        """
        size = len(image_embeds)

        def tile_sum(rows: slice, images: Tensor, texts: Tensor, *parameters: Tensor) -> Tensor:
            positives = positive_pairs(product_keys, text_keys, size, images.device, rows)
            return self._row_losses(rows, images, texts, positives, *parameters)

        rows = rows or slice(0, size)
        inputs = (image_embeds, text_embeds, scale, *self.parameters())
        return tiled_sum(tile_sum, rows, self.chunk, *inputs) / size

    def _row_losses(
        self, rows: slice, images: Tensor, texts: Tensor, positives: Tensor, scale: Tensor, *_: Tensor
    ) -> Tensor:
        """Sum of the losses of some pairs; `positives` (rows, B)."""
        image_to_text = soft_target_nll(scale * images[rows] @ texts.T, positives)
        text_to_image = soft_target_nll(scale * texts[rows] @ images.T, positives)
        return (image_to_text.sum() + text_to_image.sum()) / 2


class SigmoidContrastiveLoss(ImageTextContrastiveLoss):
    """SigLIP's loss: each picture with each text is a question of its own, right or wrong (Zhai et al. 2023, eq. 1).

    -1/B sum_ij log sigmoid(z_ij (s v_i . t_j + b)), z = 1 for positives and -1 for the others.

    Args:
        chunk: rows of the similarity matrix that exist at a time; 0 for all.
        bias: parameter b of shape (1,), such as a checkpoint's, shared with whoever gives it; None begins at SigLIP's.

    Attributes:
        bias: parameter b.
    """

    def __init__(self, chunk: int = 0, bias: nn.Parameter | None = None) -> None:
        super().__init__(chunk)
        self.bias = nn.Parameter(torch.full((1,), SIGMOID_INITIAL_BIAS)) if bias is None else bias

    def _row_losses(
        self, rows: slice, images: Tensor, texts: Tensor, positives: Tensor, scale: Tensor, *parameters: Tensor
    ) -> Tensor:
        """Sum of the losses of some pairs; `positives` (rows, B)."""
        (bias,) = parameters
        logits = scale * images[rows] @ texts.T + bias
        return -F.logsigmoid(torch.where(positives, logits, -logits)).sum()


def itc_loss(kind: ItcLoss, chunk: int = 0, bias: nn.Parameter | None = None) -> ImageTextContrastiveLoss:
    """The loss that a setting names; `bias` is for the sigmoid one."""
    if kind not in get_args(ItcLoss):
        raise ValueError(f"itc_loss={kind!r} is not one of {get_args(ItcLoss)}")
    return SigmoidContrastiveLoss(chunk, bias) if kind == "sigmoid" else ImageTextContrastiveLoss(chunk)
