"""Prompts are handed out whole, each once, with the padding that they need at most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from easynlp_fashionklip.training import concept_prompts
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
    assert [group.tolist() for group in prompts.groups(concepts)] == [[0, 1]]


def test_two_groups_save_the_most_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against every cut: of 5 prompts padded to 12, those of at most 5 tokens save 3 x 7."""
    monkeypatch.setattr(concept_prompts, "LEAST_SAVED", 21)
    prompts = prompts_of([5, 12, 4, 5, 11])
    concepts = torch.tensor([1, 0, 4, 2, 3])
    assert [group.tolist() for group in prompts.groups(concepts)] == [[1, 3, 4], [0, 2]]
    monkeypatch.setattr(concept_prompts, "LEAST_SAVED", 22)
    assert [group.tolist() for group in prompts.groups(concepts)] == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("concepts", [[], [1]])
def test_none_and_one(monkeypatch: pytest.MonkeyPatch, concepts: list[int]) -> None:
    monkeypatch.setattr(concept_prompts, "LEAST_SAVED", 0)
    prompts = prompts_of([3, 9])
    groups = prompts.groups(torch.tensor(concepts, dtype=torch.int64))
    assert [group.tolist() for group in groups] == [list(range(len(concepts)))]
    assert texts(prompts, torch.tensor(concepts, dtype=torch.int64)) == [list(range(100, 109)) for _ in concepts]


def test_embeddings_are_the_same_in_groups(make_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task()
    concepts = torch.tensor([5, 0, 3, 7, 1])
    together = task.encode_concepts(concepts)
    monkeypatch.setattr(concept_prompts, "LEAST_SAVED", 1)
    assert len(task._prompts.groups(concepts)) == 2
    torch.testing.assert_close(task.encode_concepts(concepts), together, atol=1e-6, rtol=0)
