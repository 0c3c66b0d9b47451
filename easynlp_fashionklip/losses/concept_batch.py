"""What the CVA losses know of a batch's concepts."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class ConceptBatch:
    """What the concept graph knows about a (global) batch of B pairs with U unique concepts and Q distinct prototypes.

    Attributes:
        membership: bool (B, U), concept u is true of pair i: its product's texts name it.
        related: bool (U, U), symmetric: u' is u, an ancestor or a descendant of u; such are never its negatives.
        prototype_embeds: (Q, d) unit norm, no gradient.
        prototype_index: int64 (U, M) into Q; anything where masked.
        prototype_mask: bool (U, M), false pads concepts that have fewer than M prototypes (or none).
        slots: int64 (B, S) into U, -1 for none: the fixed concept slots that variant `paper` looks at.
        in_text: bool (B, U), the text of pair i itself names u; None where that is `membership`.
    """

    membership: Tensor
    related: Tensor
    prototype_embeds: Tensor
    prototype_index: Tensor
    prototype_mask: Tensor
    slots: Tensor | None = None
    in_text: Tensor | None = None

    @property
    def named(self) -> Tensor:
        """Bool (B, U): the text of pair i itself names u."""
        return self.membership if self.in_text is None else self.in_text

    def to(self, device: torch.device) -> ConceptBatch:
        """The same on a device."""
        held = ((one.name, getattr(self, one.name)) for one in fields(self))
        return replace(self, **{name: tensor.to(device) for name, tensor in held if tensor is not None})

    def filled_index(self) -> Tensor:
        """`prototype_index` with 0 where masked, so that it may index any non-empty (Q, ...)."""
        return self.prototype_index.masked_fill(~self.prototype_mask, 0)

    def owned(self, concepts: Tensor) -> Tensor:
        """Bool (n, Q) of n concepts (int64): prototype q is one of the concept's own."""
        return self._marked(torch.arange(len(concepts), device=concepts.device), concepts, len(concepts))

    def owned_by_relatives(self, concepts: Tensor) -> Tensor:
        """Bool (n, Q) of n concepts: prototype q stands for the concept, an ancestor or a descendant."""
        row, relative = self.related[concepts].nonzero(as_tuple=True)
        return self._marked(row, relative, len(concepts))

    def _marked(self, row: Tensor, concept: Tensor, rows: int) -> Tensor:
        """Bool (rows, Q): in row `row[k]`, the prototypes of concept `concept[k]`."""
        marked = self.prototype_mask.new_zeros(rows, len(self.prototype_embeds))
        present = self.prototype_mask[concept]  # (k, M)
        marked[row[:, None].expand_as(present)[present], self.prototype_index[concept][present]] = True
        return marked

    def named_relatives(self, concepts: Tensor) -> Tensor:
        """Bool (n, B) of n concepts: text i names the concept, an ancestor or a descendant."""
        related = self.related[concepts]  # (n, U)
        near = related.any(dim=0).nonzero().flatten()  # few, where n is: the product stays small
        return related[:, near].float() @ self.membership[:, near].T.float() > 0
