"""The tokenised prompts of all concepts, handed out with little padding."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class ConceptPrompts:
    """Prompts of C concepts: `input_ids` and `attention_mask` C x L, padded as the tokenizer pads."""

    def __init__(self, tokens: Mapping[str, Tensor]) -> None:
        self.input_ids, self.attention_mask = tokens["input_ids"], tokens["attention_mask"]
        self._lengths = self.attention_mask.sum(dim=1)
        steps = torch.arange(self.attention_mask.shape[1])
        # Where the padding is on the right, what none of some texts needs can be cut off.
        self._right_padded = bool(((steps < self._lengths[:, None]) == self.attention_mask.bool()).all())

    def tokens(self, concepts: Tensor) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` of int64 concepts (n), as long as the longest of them needs."""
        length = self.input_ids.shape[1]
        if self._right_padded and len(concepts):
            length = int(self._lengths[concepts].max())
        return {
            "input_ids": self.input_ids[concepts, :length],
            "attention_mask": self.attention_mask[concepts, :length],
        }
