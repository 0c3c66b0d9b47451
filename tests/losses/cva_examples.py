"""Batches for the tests of CVA, and what the loss should be, by double loops."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from easynlp_fashionklip.config import CvaVariant
from easynlp_fashionklip.losses import ConceptBatch

OUT_OF_RANGE = 999  # what masked entries of `prototype_index` hold here: they must never be looked at


@dataclass
class Example:
    """A batch in plain lists: what each text names, what is related, whose prototypes are which."""

    images: Tensor
    concepts: Tensor
    prototypes: Tensor
    named: list[list[int]]
    relatives: set[tuple[int, int]]
    own: list[list[int]]

    def related(self, u: int, v: int) -> bool:
        return u == v or (u, v) in self.relatives or (v, u) in self.relatives

    def tensors(self) -> ConceptBatch:
        size = len(self.concepts)
        membership = torch.tensor([[u in named for u in range(size)] for named in self.named], dtype=torch.bool)
        related = [[self.related(u, v) for v in range(size)] for u in range(size)]
        width = max([len(own) for own in self.own], default=0) + 1
        padded = [own + [OUT_OF_RANGE] * (width - len(own)) for own in self.own]
        return ConceptBatch(
            membership=membership.reshape(len(self.named), size),
            related=torch.tensor(related, dtype=torch.bool).reshape(size, size),
            prototype_embeds=self.prototypes,
            prototype_index=torch.tensor(padded, dtype=torch.int64).reshape(size, width),
            prototype_mask=torch.tensor(padded, dtype=torch.int64).reshape(size, width) != OUT_OF_RANGE,
        )


def unit(rows: int, dim: int, generator: torch.Generator) -> Tensor:
    return F.normalize(torch.randn(rows, dim, generator=generator, dtype=torch.float64), dim=1)


def example(seed: int) -> Example:
    """Pairs without concepts, two alike, a concept without prototypes (4), shared prototypes, relatives."""
    generator = torch.Generator().manual_seed(seed)
    named = [[0, 1, 2], [], [2], [0, 1, 2], [3, 4], [5], [4], [1, 3, 5]][: 5 + seed % 4]
    own = [[0, 2, 5], [2, 3], [5, 1, 6, 7], [3], [], [8, 0, 4, 2]]
    return Example(
        images=unit(len(named), 4, generator).requires_grad_(),
        concepts=unit(6, 4, generator).requires_grad_(),
        prototypes=unit(9, 4, generator),
        named=named,
        relatives={(0, 1), (1, 3), (0, 3)} if seed % 2 else {(0, 1), (2, 5)},
        own=own,
    )


def nll(query: Tensor, items: Tensor, scale: Tensor, right: int, candidates: list[int]) -> Tensor:
    """-log softmax of item `right` among `candidates`."""
    total = torch.stack([(scale * query.dot(items[j])).exp() for j in candidates]).sum()
    return total.log() - scale * query.dot(items[right])


def prototype_oracle(case: Example, scale: Tensor, top_k: int) -> Tensor:
    elements = []
    for i, named in enumerate(case.named):
        for u in named:
            if not case.own[u]:
                continue
            similar = sorted(((case.images[i].dot(case.prototypes[q]).item(), q) for q in case.own[u]), reverse=True)
            nearest = similar[:top_k]
            mass = sum(math.exp(scale.item() * value) for value, _ in nearest)
            concepts = [v for v in range(len(case.concepts)) if v == u or not case.related(u, v)]
            to_concept = torch.zeros((), dtype=torch.float64)
            for value, q in nearest:
                share = math.exp(scale.item() * value) / mass
                to_concept = to_concept + share * nll(case.prototypes[q], case.concepts, scale, u, concepts)
            candidates = []
            for q in range(len(case.prototypes)):
                owners = [v for v in range(len(case.own)) if q in case.own[v]]
                if u in owners or not any(case.related(u, v) for v in owners):
                    candidates.append(q)
            right = [nll(case.concepts[u], case.prototypes, scale, q, candidates) for q in case.own[u]]
            elements.append((to_concept + torch.stack(right).mean()) / 2)
    return torch.stack(elements).mean()


def image_oracle(case: Example, scale: Tensor) -> Tensor:
    elements = []
    for i, named in enumerate(case.named):
        for u in named:
            concepts = [
                v for v in range(len(case.concepts)) if v == u or not (case.related(u, v) or v in case.named[i])
            ]
            to_concept = nll(case.images[i], case.concepts, scale, u, concepts)
            pictures = []
            for j in range(len(case.images)):
                if u in case.named[j] or not any(case.related(u, v) for v in case.named[j]):
                    pictures.append(j)
            right = [nll(case.concepts[u], case.images, scale, j, pictures) for j in pictures if u in case.named[j]]
            elements.append((to_concept + torch.stack(right).mean()) / 2)
    return torch.stack(elements).mean()


def oracle(case: Example, scale: Tensor, variant: CvaVariant, top_k: int) -> Tensor:
    if variant == "prototype":
        return prototype_oracle(case, scale, top_k)
    if variant == "image":
        return image_oracle(case, scale)
    return (prototype_oracle(case, scale, top_k) + image_oracle(case, scale)) / 2


def gradients(loss: Tensor, *inputs: Tensor) -> list[Tensor]:
    """Zeros where the loss does not depend on an input."""
    found = torch.autograd.grad(loss, inputs, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)]
