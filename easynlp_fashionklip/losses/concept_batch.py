"""What the CVA losses know of a batch's concepts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ConceptBatch:
    """What the concept graph knows about a (global) batch of B pairs with U unique concepts and Q distinct prototypes.

    Attributes:
        membership: bool (B, U), concept u belongs to the text of pair i.
        related: bool (U, U), symmetric: u' is u, an ancestor or a descendant of u; such are never its negatives.
        prototype_embeds: (Q, d) unit norm, no gradient.
        prototype_index: int64 (U, M) into Q; anything where masked.
        prototype_mask: bool (U, M), false pads concepts that have fewer than M prototypes (or none).
        slots: int64 (B, S) into U, -1 for none: the fixed concept slots that variant `paper` looks at.
    """

    membership: Tensor
    related: Tensor
    prototype_embeds: Tensor
    prototype_index: Tensor
    prototype_mask: Tensor
    slots: Tensor | None = None

    def filled_index(self) -> Tensor:
        """`prototype_index` with 0 where masked, so that it may index any non-empty (Q, ...)."""
        return self.prototype_index.masked_fill(~self.prototype_mask, 0)

    def owned(self) -> Tensor:
        """Bool (U, Q): prototype q is one of concept u's own."""
        owned = self.prototype_mask.new_zeros(len(self.prototype_index), len(self.prototype_embeds))
        concept, slot = self.prototype_mask.nonzero(as_tuple=True)
        owned[concept, self.prototype_index[concept, slot]] = True
        return owned
