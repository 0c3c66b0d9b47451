"""is-a between concepts: a child has its parent's head and a proper superset of its parent's modifiers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Up to this many modifiers all 2^m subsets are looked up; a concept with more is compared with its head's others.
_MOST_ENUMERATED = 8


@dataclass(frozen=True)
class Hierarchy:
    """Edges of the transitive reduction of is-a over U concepts, as concept positions (int64, sorted by child, parent).

    `primary[e]` marks one edge of each child that has parents; `depth[c]` counts the primary edges up to a root.
    """

    child: NDArray[np.int64]
    parent: NDArray[np.int64]
    primary: NDArray[np.bool_]
    depth: NDArray[np.int64]


def build_hierarchy(
    phrases: Sequence[str], heads: Sequence[str], modifiers: Sequence[Collection[str]], frequency: Sequence[int]
) -> Hierarchy:
    """Order U concepts by is-a.

    Near-linear: concepts are grouped by head and each looks its subsets up. The order is strict inclusion of modifier
    sets, so there can be no cycle. The primary parent is the most frequent one, of equals the alphabetically first.

    Raises:
        ValueError: if two concepts have the same head and the same modifiers.
    """
    identity: dict[tuple[str, frozenset[str]], int] = {}
    by_head: dict[str, list[int]] = defaultdict(list)
    sets = [frozenset(own) for own in modifiers]
    for concept, (head, own) in enumerate(zip(heads, sets, strict=True)):
        if identity.setdefault((head, own), concept) != concept:
            raise ValueError(f"{phrases[concept]!r} is listed twice.")
        by_head[head].append(concept)

    edges: list[tuple[int, int, bool]] = []
    for concept, (head, own) in enumerate(zip(heads, sets, strict=True)):
        if len(own) <= _MOST_ENUMERATED:
            parents = _nearest_by_lookup(head, own, identity)
        else:
            parents = _nearest([other for other in by_head[head] if sets[other] < own], sets)
        first = min(parents, key=lambda parent: (-frequency[parent], phrases[parent]), default=-1)
        edges += [(concept, parent, parent == first) for parent in sorted(parents)]
    child, parent, primary = (np.array(column) for column in zip(*edges, strict=True)) if edges else ([], [], [])
    return Hierarchy(
        np.asarray(child, dtype=np.int64),
        np.asarray(parent, dtype=np.int64),
        np.asarray(primary, dtype=np.bool_),
        _depths(edges, sets),
    )


def _nearest_by_lookup(head: str, own: frozenset[str], identity: dict[tuple[str, frozenset[str]], int]) -> list[int]:
    """Maximal proper subsets of `own` that are concepts, from the largest subsets down."""
    found: list[frozenset[str]] = []
    members = sorted(own)
    for size in range(len(members) - 1, -1, -1):
        subsets = (frozenset(chosen) for chosen in combinations(members, size))
        found += [
            subset for subset in subsets if (head, subset) in identity and not any(subset < larger for larger in found)
        ]
    return [identity[head, subset] for subset in found]


def _nearest(candidates: list[int], sets: Sequence[frozenset[str]]) -> list[int]:
    return [one for one in candidates if not any(sets[one] < sets[other] for other in candidates)]


def _depths(edges: Sequence[tuple[int, int, bool]], sets: Sequence[frozenset[str]]) -> NDArray[np.int64]:
    depth = np.zeros(len(sets), dtype=np.int64)
    primary = [(child, parent) for child, parent, is_primary in edges if is_primary]
    # A parent has fewer modifiers than its child, so its depth is known before the child's turn.
    for child, parent in sorted(primary, key=lambda edge: len(sets[edge[0]])):
        depth[child] = depth[parent] + 1
    return depth


def closure_csr(
    child: NDArray[np.int64], parent: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All ancestors of each of `count` concepts from any acyclic edges: (offsets, ancestor positions ascending).

    Raises:
        ValueError: if the edges have a cycle.
    """
    parents: list[list[int]] = [[] for _ in range(count)]
    children: list[list[int]] = [[] for _ in range(count)]
    for one, other in zip(child.tolist(), parent.tolist(), strict=True):
        parents[one].append(other)
        children[other].append(one)
    ancestors: list[tuple[int, ...]] = [()] * count
    waiting = [len(above) for above in parents]
    ready = [concept for concept in range(count) if not waiting[concept]]
    for concept in ready:  # grows while it is read: parents come before children
        ancestors[concept] = tuple(sorted({*parents[concept]}.union(*(ancestors[one] for one in parents[concept]))))
        for below in children[concept]:
            waiting[below] -= 1
            if not waiting[below]:
                ready.append(below)
    if len(ready) < count:
        raise ValueError("is-a has a cycle.")
    offsets = np.concatenate([[0], np.cumsum([len(above) for above in ancestors], dtype=np.int64)]).astype(np.int64)
    return offsets, np.fromiter((one for above in ancestors for one in above), dtype=np.int64, count=int(offsets[-1]))
