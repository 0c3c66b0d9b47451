"""Whether a table and a batch size can teach a contrastive loss anything."""

from __future__ import annotations

from easynlp_fashionklip import distributed
from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError


def compared_pairs(config: AppConfig, micro_batch_size: int) -> int:
    """Pairs of a contrastive batch, over all processes.

    Raises:
        InputError: there is one, which has nothing to be compared with.
    """
    pairs = config.contrastive_batch_size or micro_batch_size * distributed.world_size()
    if pairs < 2:
        given = "contrastive_batch_size" if config.contrastive_batch_size else "--micro_batch_size"
        raise InputError(
            f"{given}=1 compares every pair with nothing but itself, which teaches nothing; give 2 or more."
        )
    return pairs


def rows_needed(config: AppConfig, micro_batch_size: int) -> int:
    """Rows a table must have: those of one contrastive batch, or without `drop_last` one for each process."""
    pairs = compared_pairs(config, micro_batch_size)
    return pairs if config.drop_last else max(2, distributed.world_size())


def require_products(table: PairTable) -> None:
    """Refuse a table whose pairs are all of one product.

    Raises:
        InputError: they are, so none is another's negative.
    """
    keys = table.product_keys
    if (keys == keys[0]).all():
        raise InputError(
            f"{table.catalogue.path}: all {len(table):,} usable rows are of one product, "
            f"{table.product_id(0)!r}, so no pair differs from another; give a table of several products, or the right "
            "product_id column."
        )
