"""The sampler that `batch_sampler` names."""

from __future__ import annotations

import numpy as np

from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.samplers.contrastive import GlobalBatchSampler
from easynlp_fashionklip.data.samplers.grouped import GroupedBatchSampler
from easynlp_fashionklip.data.samplers.unique_product import UniqueProductBatchSampler
from easynlp_fashionklip.errors import InputError


def training_sampler(
    config: AppConfig,
    product_keys: np.ndarray,
    text_keys: np.ndarray,
    micro_batch_size: int,
    *,
    rank: int = 0,
    world_size: int = 1,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> GlobalBatchSampler:
    """Build the sampler that the settings ask for.

    Args:
        config: `batch_sampler`, `group_ratio`, `drop_last` and `contrastive_batch_size` are used.
        product_keys: int64 (N,), of `PairTable`.
        text_keys: int64 (N,), of `PairTable`.
        micro_batch_size: most rows that a process encodes at a time.
        rank: of this process.
        world_size: number of processes.
        seed: of the order.
        groups: int (N,), the category of each row, negative for none; see `training.categories`.

    Raises:
        InputError: too few rows, or `batch_sampler=grouped` without categories.
    """
    shared = {
        "rank": rank,
        "world_size": world_size,
        "seed": seed,
        "drop_last": config.drop_last,
        "contrastive_batch_size": config.contrastive_batch_size,
    }
    if config.batch_sampler == "unique_product":
        return UniqueProductBatchSampler(product_keys, text_keys, micro_batch_size, **shared)
    if config.batch_sampler == "grouped":
        if groups is None:
            raise InputError("batch_sampler=grouped takes categories from the concept graph; set cva=true as well.")
        return GroupedBatchSampler(groups, micro_batch_size, group_ratio=config.group_ratio, **shared)
    return GlobalBatchSampler(len(product_keys), micro_batch_size, **shared)  # type: ignore[arg-type]
