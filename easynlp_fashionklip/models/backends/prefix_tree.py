"""Many short texts as few trees of tokens, so that a causal text tower sees what texts begin with only once.

In a causal tower a token's state depends on the tokens before it alone. `a photo of red dress` and `a photo of red
skirt` share the states of their first four tokens; as a tree, in which each token attends to its own beginning, the
two have seven tokens instead of ten. (Speculative decoding does the same: Miao et al., SpecInfer, 2023.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class PrefixTrees:
    """n texts as b trees of at most N tokens.

    Attributes:
        tokens: int64 (b, N) token ids, a token after those it follows; 0 where a tree is smaller.
        positions: int64 (b, N), the token's place in its text.
        attends: bool (b, N, N), token i may look at token j: itself and those before it in its text.
        tree, place: int64 (n,), where each text's last token is.
    """

    tokens: Tensor
    positions: Tensor
    attends: Tensor
    tree: Tensor
    place: Tensor


def prefix_trees(input_ids: Tensor, attention_mask: Tensor, most_nodes: int) -> PrefixTrees:
    """Share the beginnings of texts.

    Args:
        input_ids, attention_mask: n x L int64 on the CPU, right-padded, n >= 1, each with at least one token.
        most_nodes: tokens of a tree, at least L: attention costs the square, and a tower takes only so many.
    """
    lengths = attention_mask.sum(dim=1).numpy()
    steps = np.arange(input_ids.shape[1])
    ids = np.where(steps < lengths[:, None], input_ids.numpy(), -1)
    order = np.lexsort(ids.T[::-1])  # alphabetically: texts with one beginning are neighbours
    ids, lengths = ids[order], lengths[order]
    shared = np.zeros(len(ids), dtype=np.int64)  # tokens in common with the text before
    shared[1:] = np.cumprod(ids[1:] == ids[:-1], axis=1).sum(axis=1)
    shared = np.minimum(shared, lengths)
    tree = _cut(lengths - shared, lengths, most_nodes)
    shared[np.flatnonzero(np.diff(tree, prepend=-1))] = 0
    new = (steps >= shared[:, None]) & (steps < lengths[:, None])
    number = np.cumsum(new).reshape(new.shape) - 1
    node = np.maximum.accumulate(np.where(new, number, -1), axis=0)  # (n, L): a shared token is the latest one there
    row, step = np.nonzero(new)
    first = np.searchsorted(tree[row], np.arange(tree[-1] + 1))  # node with which each tree begins
    node -= first[tree][:, None]
    size = int(np.bincount(tree[row]).max())
    at = tree[row], node[row, step]
    tokens, positions = np.zeros((2, tree[-1] + 1, size), dtype=np.int64)
    tokens[at], positions[at] = ids[row, step], step
    attends = np.zeros((tree[-1] + 1, size, size), dtype=np.bool_)
    attends[:, np.arange(size), np.arange(size)] = True
    one, before = np.nonzero(steps <= step[:, None])
    attends[at[0][one], at[1][one], node[row[one], before]] = True
    back = np.argsort(order)
    place = node[np.arange(len(ids)), lengths - 1]
    arrays = (tokens, positions, attends, tree[back], place[back])
    return PrefixTrees(*(torch.from_numpy(array) for array in arrays))


def _cut(added: np.ndarray, lengths: np.ndarray, most_nodes: int) -> np.ndarray:
    """(n,) the tree of each text, so that no tree has more than `most_nodes` tokens, or than its one text has."""
    total = np.cumsum(added)
    tree = np.zeros(len(added), dtype=np.int64)
    start = 0
    while True:  # once for each tree; its first text is there in full
        room = most_nodes - lengths[start] + total[start]
        start = max(start + 1, int(np.searchsorted(total, room, side="right")))
        if start >= len(added):
            return tree
        tree[start:] += 1
