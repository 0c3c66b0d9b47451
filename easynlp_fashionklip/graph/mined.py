"""What mining hands on: which concept phrases which texts mention, in compact arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Progress = Callable[[int], None]


@dataclass(frozen=True)
class MinedTexts:
    """Which concept phrases N texts mention.

    `phrase_index[offsets[i]:offsets[i + 1]]` (int32, ascending, distinct) indexes `phrases`, `heads` and `modifiers`
    for text i; `surfaces[p]` counts in how many mentions phrase p is spelt how.
    """

    offsets: NDArray[np.int64]
    phrase_index: NDArray[np.int32]
    phrases: list[str]
    heads: list[str]
    modifiers: list[tuple[str, ...]]
    surfaces: list[dict[str, int]]

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.offsets) - 1

    def mentions(self, text: int) -> list[str]:
        """Phrases of one text."""
        return [self.phrases[p] for p in self.phrase_index[self.offsets[text] : self.offsets[text + 1]]]

    def commonest_surface(self, phrase: int) -> str:
        """Commonest spelling of a phrase, the alphabetically first of equals."""
        counts = self.surfaces[phrase]
        return min(counts, key=lambda surface: (-counts[surface], surface))
