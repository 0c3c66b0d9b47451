"""The tokenised prompts of all concepts, handed out with little padding."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

LEAST_SAVED = 1024  # tokens; a second pass through the text tower costs about as much on a GPU


class ConceptPrompts:
    """Prompts of C concepts: `input_ids` and `attention_mask` C x L, padded as the tokenizer pads."""

    def __init__(self, tokens: Mapping[str, Tensor]) -> None:
        self.input_ids, self.attention_mask = tokens["input_ids"], tokens["attention_mask"]
        self._lengths = self.attention_mask.sum(dim=1)
        steps = torch.arange(self.attention_mask.shape[1])
        # Where the padding is on the right, what no text of a group needs can be cut off.
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

    def groups(self, concepts: Tensor) -> list[Tensor]:
        """Positions within `concepts` (n), each in one of one or two groups of short and of long prompts.

        Two where that saves a good deal of padding: most prompts are half as long as the longest.
        """
        lengths = self._lengths[concepts]
        everything = torch.arange(len(concepts))
        if not self._right_padded or len(concepts) < 2:
            return [everything]
        shorter = torch.bincount(lengths).cumsum(dim=0)  # prompts of at most so many tokens
        saved = shorter * (len(shorter) - 1 - torch.arange(len(shorter)))
        cut = int(saved.argmax())
        if saved[cut] < LEAST_SAVED:
            return [everything]
        return [everything[lengths <= cut], everything[lengths > cut]]
