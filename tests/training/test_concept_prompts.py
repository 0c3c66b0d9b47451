"""Prompts are handed out whole, each once, with the padding that they need at most."""

from __future__ import annotations

import torch
from torch import Tensor

from easynlp_fashionklip.training.concept_prompts import ConceptPrompts


def prompts_of(lengths: list[int], left: bool = False) -> ConceptPrompts:
    """Token t of prompt c is 100 c + t; padding is -1."""
    longest = max(lengths, default=0)
    ids = torch.full((len(lengths), longest), -1)
    for number, length in enumerate(lengths):
        place = slice(longest - length, longest) if left else slice(0, length)
        ids[number, place] = 100 * number + torch.arange(length)
    return ConceptPrompts({"input_ids": ids, "attention_mask": (ids >= 0).long()})


def texts(prompts: ConceptPrompts, concepts: Tensor) -> list[list[int]]:
    found = prompts.tokens(concepts)
    pairs = zip(found["input_ids"], found["attention_mask"], strict=True)
    return [ids[mask.bool()].tolist() for ids, mask in pairs]


def test_no_more_padding_than_the_longest_needs() -> None:
    prompts = prompts_of([3, 9, 4, 2])
    concepts = torch.tensor([3, 0, 2])
    assert prompts.tokens(concepts)["input_ids"].shape == (3, 4)
    assert texts(prompts, concepts) == [[300, 301], [0, 1, 2], [200, 201, 202, 203]]


def test_padding_on_the_left_stays() -> None:
    prompts = prompts_of([3, 9, 4, 2], left=True)
    concepts = torch.tensor([3, 0])
    assert prompts.tokens(concepts)["input_ids"].shape == (2, 9)
    assert texts(prompts, concepts) == [[300, 301], [0, 1, 2]]


def test_none() -> None:
    assert prompts_of([3, 9]).tokens(torch.zeros(0, dtype=torch.int64))["input_ids"].shape[0] == 0
