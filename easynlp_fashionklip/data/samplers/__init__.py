"""Which rows make up which batch, on which process: the same batches however many processes share them."""

from __future__ import annotations

from easynlp_fashionklip.data.samplers.choice import training_sampler
from easynlp_fashionklip.data.samplers.contrastive import GlobalBatchSampler, SampleIndex
from easynlp_fashionklip.data.samplers.grouped import GroupedBatchSampler
from easynlp_fashionklip.data.samplers.sequential import ShardedSequentialSampler
from easynlp_fashionklip.data.samplers.unique_product import UniqueProductBatchSampler

__all__ = [
    "GlobalBatchSampler",
    "GroupedBatchSampler",
    "SampleIndex",
    "ShardedSequentialSampler",
    "UniqueProductBatchSampler",
    "training_sampler",
]
