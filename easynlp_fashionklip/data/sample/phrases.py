"""A concept phrase with its parts, and the coarser phrases nested in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrase:
    """A noun phrase: modifiers before the head, the head in its normal form, and what is attached after it.

    Each modifier is a unit that is never divided ("short sleeve", "in white", "with v-neck").
    """

    head: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The normal form, which is the concept's identity."""
        return " ".join((*self.before, self.head, *self.after))

    @property
    def modifiers(self) -> frozenset[str]:
        """All modifiers, whatever their place."""
        return frozenset((*self.before, *self.after))

    def nested(self) -> tuple[Phrase, ...]:
        """The phrase and every coarser one that stands in it unbroken, with the head, finest first.

        Modifiers are peeled from the outside, on either side: "short sleeve t-shirt in white" holds itself, "short
        sleeve t-shirt", "t-shirt in white" and "t-shirt".
        """
        return tuple(
            Phrase(self.head, self.before[first:], self.after[:last])
            for first in range(len(self.before) + 1)
            for last in range(len(self.after), -1, -1)
        )
