"""Batches in which no two pairs are of one product or have one text."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from easynlp_fashionklip.data.samplers.contrastive import GlobalBatchSampler

_MOST_ROUNDS = 50
_MOST_IDLE_ROUNDS = 3
_PROGRESS = 0.99  # a round that leaves more than this share of the clashes is idle
logger = logging.getLogger(__name__)


class UniqueProductBatchSampler(GlobalBatchSampler):
    """Batches without two positives of each other: every pair's product id and text are its own there.

    The rows of a product (or of a text, whichever repeats more) are dealt out over the batches like cards, what the
    other key then makes meet is exchanged with rows of other batches. A product with more rows than there are batches
    must meet itself; such rows are counted in `unavoidable` and said once. The loss treats them as positives of each
    other. See `GlobalBatchSampler` for the rest.

    Attributes:
        unavoidable: rows of the last order that share a batch with an earlier row of their product or text.
    """

    def __init__(
        self, product_keys: np.ndarray, text_keys: np.ndarray, micro_batch_size: int, *args: Any, **options: Any
    ) -> None:
        """Take the keys.

        Args:
            product_keys: int64 (N,), equal for rows of one product.
            text_keys: int64 (N,), equal for rows with one text.
            micro_batch_size: as in `GlobalBatchSampler`, also what follows.
            args: rank and what follows it.
            options: the same by name.

        Raises:
            InputError: too few rows.
        """
        super().__init__(len(product_keys), micro_batch_size, *args, **options)
        numbered = [np.unique(keys, return_inverse=True)[1].astype(np.int64) for keys in (product_keys, text_keys)]
        numbered.sort(key=lambda numbers: int(numbers.max(initial=-1)))  # fewest distinct first
        self._keys = numbered
        self.unavoidable = 0
        self._said = False

    def order(self, epoch: int) -> np.ndarray:
        """The epoch's rows, batch after batch; see `GlobalBatchSampler.order`."""
        rng = self._generator(epoch)
        sizes = self._sizes()
        rows = rng.permutation(self.num_rows)[: sizes.sum()]
        order = self._dealt(rows, sizes, rng)
        self.unavoidable = _exchange(order, np.repeat(np.arange(len(sizes)), sizes), self._keys, rng)
        self._say()
        return order

    def _dealt(self, rows: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Deal shuffled rows out over the batches, equal keys one after the other."""
        keys = self._keys[0]
        shuffled = rng.permutation(int(keys.max(initial=-1)) + 1)[keys[rows]]  # keys in random order
        cards = rows[np.argsort(shuffled, kind="stable")]
        column = np.repeat(rng.permutation(len(sizes)), sizes)  # where in a round of dealing each batch comes
        turn = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        order = np.empty_like(rows)
        order[np.lexsort((column, turn))] = cards
        return order

    def _say(self) -> None:
        if self.unavoidable and not self._said and self.rank == 0:
            self._said = True
            logger.warning(
                "batch_sampler=unique_product: %d of %d rows of an epoch share a batch with another of their product "
                "or text, because those repeat too often for %d batches; the loss counts them as positives",
                self.unavoidable,
                self.num_rows,
                len(self),
            )


def _exchange(order: np.ndarray, batch_of: np.ndarray, keys: list[np.ndarray], rng: np.random.Generator) -> int:
    """Exchange rows between batches until no batch has a key twice, or no exchange helps any more.

    Each exchange alone would put two rows where neither clashes; the next round finds the few that meet each other.

    Args:
        order: int64 (M,) rows, batch after batch; changed in place.
        batch_of: int64 (M,), the batch of each place.
        keys: of the table's rows.
        rng: chooses partners.

    Returns:
        How many rows still share a batch with an earlier row of the same key.
    """
    best, idle = len(order) + 1, 0
    for _ in range(_MOST_ROUNDS):
        stamps = [_stamps(order, batch_of, one) for one in keys]
        present = [np.sort(one) for one in stamps]
        clashing = _clashing(stamps, present)
        idle = 0 if len(clashing) < _PROGRESS * best else idle + 1
        best = min(best, len(clashing))
        if not len(clashing) or idle == _MOST_IDLE_ROUNDS:
            break
        places, partners = _partners(clashing, batch_of, rng)
        allowed = np.ones(len(places), dtype=np.bool_)
        for one, known in zip(keys, present, strict=True):
            span = int(one.max()) + 1
            for place, other in ((places, partners), (partners, places)):
                allowed &= ~_in_sorted(batch_of[other] * span + one[order[place]], known)
        places, partners = places[allowed], partners[allowed]
        order[places], order[partners] = order[partners], order[places]
    return len(clashing)


def _stamps(order: np.ndarray, batch_of: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """One number for each (batch, key) pair."""
    return batch_of * (int(keys.max(initial=0)) + 1) + keys[order]


def _clashing(stamps: list[np.ndarray], present: list[np.ndarray]) -> np.ndarray:
    """Places, ascending, whose row is not the first of its batch with one of its keys."""
    found = []
    for one, known in zip(stamps, present, strict=True):
        repeated = np.unique(known[1:][known[1:] == known[:-1]])
        places = np.flatnonzero(_in_sorted(one, repeated))
        first = np.unique(one[places], return_index=True)[1]
        found.append(np.delete(places, first))
    return np.unique(np.concatenate(found))


def _partners(clashing: np.ndarray, batch_of: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a place in another batch for each clashing one; no place comes twice."""
    drawn = rng.integers(0, len(batch_of), len(clashing))
    first = np.zeros(len(clashing), dtype=np.bool_)
    first[np.unique(drawn, return_index=True)[1]] = True
    first &= (batch_of[drawn] != batch_of[clashing]) & ~_in_sorted(drawn, clashing)
    return clashing[first], drawn[first]


def _in_sorted(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which values occur in an ascending array."""
    if not len(known):
        return np.zeros(len(values), dtype=np.bool_)
    return known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
