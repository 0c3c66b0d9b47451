"""Prototypes chosen anew while the encoder learns: the work shared by all processes, the outcome that of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from easynlp_fashionklip import distributed
from easynlp_fashionklip.training.bank import EmbeddingBank
from easynlp_fashionklip.training.knowledge import ConceptKnowledge

PROMPTS_AT_ONCE = 128


@dataclass(frozen=True)
class RefreshReport:
    """What a refresh has cost.

    Attributes:
        seconds: it took, on this process.
        ranked: concepts whose prototypes were chosen anew, over all processes.
        concepts: those that occur in the training texts.
        seconds_between: since the refresh before; 0 for the first.
    """

    seconds: float
    ranked: int
    concepts: int
    seconds_between: float

    @property
    def share(self) -> float:
        """Of the time since the refresh before ended, 0 to 1: with one refresh an epoch its share of the epoch."""
        return self.seconds / (self.seconds + self.seconds_between) if self.seconds_between else 0.0

    def __str__(self) -> str:
        """One line for the log."""
        share = f", {100 * self.share:.1f} % of the time" if self.seconds_between else ""
        return f"prototypes of {self.ranked:,} of {self.concepts:,} concepts chosen in {self.seconds:.1f} s{share}"


def refresh(
    knowledge: ConceptKnowledge, bank: EmbeddingBank, encode: Callable[[Tensor], Tensor], started: float | None = None
) -> RefreshReport:
    """Encode the prompts of the concepts that occur and choose their prototypes; every process must call it.

    Prompts are encoded in the same blocks whatever the number of processes, each block by one of them, so that the
    outcome is the same bit for bit.

    Args:
        knowledge: is given new prototypes.
        bank: the pictures, the same on every process.
        encode: int64 concept numbers (n,) to the unit vectors of their prompts (n x d), without gradient.
        started: when the work for it began, on `time.perf_counter`; None for now.
    """
    started = time.perf_counter() if started is None else started
    between = 0.0 if knowledge.refreshed_at is None else started - knowledge.refreshed_at
    prompts = encode_prompts(knowledge, bank.embeds.shape[1], encode)
    ranked = knowledge.refresh(prompts, bank)
    knowledge.refreshed_at = time.perf_counter()
    return RefreshReport(knowledge.refreshed_at - started, ranked, int(knowledge.occurs.sum()), between)


def encode_prompts(knowledge: ConceptKnowledge, dim: int, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """(C, d) on the CPU, zero for concepts that do not occur; the same on every process."""
    blocks = prompt_blocks(knowledge)
    embeds = torch.zeros(knowledge.num_concepts, dim)
    if not blocks:
        return embeds
    rank, world = distributed.rank(), distributed.world_size()
    shares = [blocks[one * len(blocks) // world : (one + 1) * len(blocks) // world] for one in range(world)]
    longest = max(sum(map(len, share)) for share in shares)
    own = [encode(block) for block in shares[rank]]
    device = own[0].device if own else distributed.local_device()
    local = torch.zeros(longest, dim, device=device)  # equally long on every process
    if own:
        local[: sum(map(len, own))] = torch.cat(own).float()
    gathered = distributed.gather(local).cpu().split(longest)
    for share, part in zip(shares, gathered, strict=True):
        for block, found in zip(share, part.split([*map(len, share), longest - sum(map(len, share))]), strict=False):
            embeds[block] = found
    return embeds


def prompt_blocks(knowledge: ConceptKnowledge) -> list[Tensor]:
    """The concepts that occur, prompts of alike lengths together: int64 tensors of up to `PROMPTS_AT_ONCE`."""
    prompts = knowledge.prompts()
    numbers = knowledge.occurs.nonzero()[0].tolist()
    order = sorted(numbers, key=lambda one: (len(prompts[one]), one))
    return list(torch.tensor(order, dtype=torch.int64).split(PROMPTS_AT_ONCE)) if order else []
