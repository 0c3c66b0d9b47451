"""The pieces of the losses against plain loops, and their edges: everything excluded, nothing right."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from easynlp_fashionklip.losses.functional import (
    even_targets,
    excluding_log_softmax,
    excluding_nll,
    soft_target_nll,
)


def random_logits(rows: int, columns: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (5 * torch.randn(rows, columns, generator=generator, dtype=torch.float64)).requires_grad_()


def test_excluded_entries_are_as_if_absent() -> None:
    logits = random_logits(3, 5)
    excluded = torch.zeros(3, 5, dtype=torch.bool)
    excluded[0, [1, 3]] = excluded[2, 4] = True
    result = excluding_log_softmax(logits, excluded)
    for row in range(3):
        kept = [column for column in range(5) if not excluded[row, column]]
        total = sum(math.exp(logits[row, column].item()) for column in kept)
        for column in range(5):
            expected = logits[row, column].item() - math.log(total) if column in kept else 0.0
            assert result[row, column].item() == pytest.approx(expected, abs=1e-12)
    (gradient,) = torch.autograd.grad(result.square().sum(), logits)
    assert torch.equal(gradient[excluded], torch.zeros(3, dtype=torch.float64))
    assert (gradient[~excluded] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_row_with_everything_excluded_is_zeros_without_gradient(dtype: torch.dtype) -> None:
    logits = torch.tensor([[100.0, -100.0], [3.0, 3.0]], dtype=dtype, requires_grad=True)
    result = excluding_log_softmax(logits, torch.tensor([[True, True], [False, True]]))
    (gradient,) = torch.autograd.grad(result.sum(), logits)
    assert result.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert gradient.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_one_right_answer_among_those_present() -> None:
    """Row 0's right answer is marked as excluded and counts; row 2 has nothing else."""
    logits = random_logits(3, 4)
    right, kept = [1, 0, 3], [[1, 2], [0, 2, 3], [3]]
    excluded = torch.ones(3, 4, dtype=torch.bool)
    excluded[0, 2] = False
    excluded[1, [0, 2, 3]] = False
    result = excluding_nll(logits, excluded, torch.tensor(right))
    for row in range(3):
        total = sum(math.exp(logits[row, column].item()) for column in kept[row])
        assert result[row].item() == pytest.approx(math.log(total) - logits[row, right[row]].item(), abs=1e-12)
    (gradient,) = torch.autograd.grad(result.sum(), logits)
    assert (gradient != 0).tolist() == [[column in kept[row] and row < 2 for column in range(4)] for row in range(3)]


def test_even_targets_share_the_mass() -> None:
    positives = torch.tensor([[True, True, False], [False, True, False], [False, False, False], [True, True, True]])
    expected = torch.tensor([[0.5, 0.5, 0], [0, 1, 0], [0, 0, 0], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)
    assert torch.equal(even_targets(positives, torch.float64), expected)  # thirds are exact to float64


def test_soft_target_nll_is_the_mean_over_positives() -> None:
    logits = random_logits(3, 4)
    positives = [[0, 2], [], [1]]
    excluded = [[1, 2], [0], []]  # entry (0, 2) is positive, hence not excluded
    mask, absent = torch.zeros(2, 3, 4, dtype=torch.bool)
    for row in range(3):
        mask[row, positives[row]] = True
        absent[row, excluded[row]] = True
    result = soft_target_nll(logits, mask, absent)
    for row in range(3):
        kept = [column for column in range(4) if column in positives[row] or column not in excluded[row]]
        total = math.log(sum(math.exp(logits[row, column].item()) for column in kept))
        losses = [total - logits[row, column].item() for column in positives[row]]
        expected = sum(losses) / len(losses) if losses else 0.0
        assert result[row].item() == pytest.approx(expected, abs=1e-12)
    (gradient,) = torch.autograd.grad(result.sum(), logits)
    assert gradient[0, 1].item() == 0.0
    assert torch.equal(gradient[1], torch.zeros(4, dtype=torch.float64))


def test_soft_target_nll_of_one_positive_is_cross_entropy() -> None:
    logits = random_logits(4, 4, seed=1)
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(4), reduction="none")
    assert torch.allclose(soft_target_nll(logits, torch.eye(4, dtype=torch.bool)), expected, atol=1e-12)
