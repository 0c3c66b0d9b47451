"""Image-text contrastive loss with duplicates as positives (Radford et al. 2021; design section 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easynlp_fashionklip.losses.functional import soft_target_nll


def same_key(keys: Tensor) -> Tensor:
    """(B,) keys -> bool (B, B): true where two pairs have the same key."""
    return keys[:, None] == keys[None, :]


def positive_pairs(
    product_keys: Tensor | None, text_keys: Tensor | None, batch_size: int, device: torch.device
) -> Tensor:
    """Which texts are true of which pictures: the pair's own, and those of the same product or with identical text.

    Args:
        product_keys: int64 (B,) hashes of the product ids, or None.
        text_keys: int64 (B,) hashes of the texts, or None.
        batch_size: B.
        device: where the result lies.

    Returns:
        bool (B, B), symmetric, true on the diagonal.
    """
    positives = torch.eye(batch_size, dtype=torch.bool, device=device)
    for keys in (product_keys, text_keys):
        if keys is not None:
            positives = positives | same_key(keys.to(device))
    return positives


class ImageTextContrastiveLoss(nn.Module):
    """Symmetric InfoNCE over a (global) batch; pairs sharing product or text are positives, never negatives.

    A row's target is spread evenly over its positives, so that the loss of a batch without duplicates is CLIP's.
    """

    def forward(
        self,
        image_embeds: Tensor,
        text_embeds: Tensor,
        scale: Tensor,
        product_keys: Tensor | None = None,
        text_keys: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss.

        Args:
            image_embeds: (B, d), unit norm.
            text_embeds: (B, d), unit norm; row i belongs to picture i.
            scale: inverse temperature, a scalar or (1,).
            product_keys: int64 (B,), equal for pictures of one product.
            text_keys: int64 (B,), equal for identical texts.

        Returns:
            scalar, the mean of both directions.
        """
        logits = scale * image_embeds @ text_embeds.T  # (B, B)
        positives = positive_pairs(product_keys, text_keys, len(logits), logits.device)
        image_to_text = soft_target_nll(logits, positives)
        text_to_image = soft_target_nll(logits.T, positives)
        return (image_to_text.mean() + text_to_image.mean()) / 2
