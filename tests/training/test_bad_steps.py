"""Steps that are no number: skipped without a trace in the model, counted, too many end the run."""

from __future__ import annotations

import math

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.training.bad_steps import BadSteps
from easynlp_fashionklip.training.engine import StepResult

GOOD, BAD = StepResult(1.0, False), StepResult(math.nan, True)


def test_only_a_row_of_them_ends_the_run() -> None:
    bad = BadSteps(3, "lower --learning_rate (now 0.1)")
    for step, result in enumerate([BAD, BAD, GOOD, BAD, BAD]):
        bad.count(step, 1.0, result)
    assert (bad.total, bad.in_a_row) == (4, 2)
    with pytest.raises(InputError, match=r"step 7.*3 steps in a row.*lower --learning_rate \(now 0\.1\)"):
        bad.count(7, math.inf, BAD)


def test_a_loss_that_is_no_number_counts_whatever_its_gradient() -> None:
    bad = BadSteps(2)
    bad.count(1, math.nan, GOOD)
    assert bad.total == 1
    with pytest.raises(InputError):
        bad.count(2, math.nan, GOOD)


def test_fp16_may_look_for_its_scale() -> None:
    bad = BadSteps(2)
    for step in range(10):
        bad.count(step, 1.0, StepResult(math.inf, True, rescaled=True))
    assert (bad.total, bad.in_a_row) == (10, 0)
