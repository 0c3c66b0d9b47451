"""Samples into batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from easynlp_fashionklip.data.dataset import Batch, RowFailure, Sample
from easynlp_fashionklip.data.pairs import PairTable

Tokenize = Callable[[list[str]], Mapping[str, torch.Tensor]]


class PairCollator:
    """Stacks B samples of a pair table.

    A batch holds `pixel_values` (B x 3 x H x W of the samples' type) if they have pictures, the tokenizer's `input_ids`
    and `attention_mask` (B x L int64) if they have texts, `rows`, `product_keys`, `text_keys` (B int64), `label_ids`,
    the empty list that EasyNLP's trainer asks for. A failed sample makes the batch that failure.
    """

    def __init__(self, tokenize: Tokenize | None, table: PairTable) -> None:
        """Take the tokenizer (None for pictures alone) and the table, whose keys are found now, before any fork."""
        self.tokenize = tokenize
        self._product_keys = torch.from_numpy(table.product_keys)
        self._text_keys = torch.from_numpy(table.text_keys)

    def __call__(self, samples: Sequence[Sample | RowFailure]) -> Batch | RowFailure:
        """The batch of these samples, or the first failure among them."""
        good: list[Sample] = []
        for sample in samples:
            if isinstance(sample, RowFailure):
                return sample
            good.append(sample)
        return self._stack(good)

    def _stack(self, samples: Sequence[Sample]) -> Batch:
        rows = torch.tensor([sample["row"] for sample in samples], dtype=torch.int64)
        batch: Batch = {
            "rows": rows,
            "product_keys": self._product_keys[rows],
            "text_keys": self._text_keys[rows],
            "label_ids": [],
        }
        if "pixel_values" in samples[0]:
            batch["pixel_values"] = _stacked([sample["pixel_values"] for sample in samples])
        if "text" in samples[0] and self.tokenize is not None:
            batch.update(self.tokenize([sample["text"] for sample in samples]))
        return batch


def _stacked(pictures: Sequence[torch.Tensor]) -> torch.Tensor:
    """B x 3 x H x W; pictures that are channels last in memory give a batch that is, without reordering a byte."""
    if all(one.dim() == 3 and one.permute(1, 2, 0).is_contiguous() for one in pictures):
        return torch.stack([one.permute(1, 2, 0) for one in pictures]).permute(0, 3, 1, 2)
    return torch.stack(list(pictures))
