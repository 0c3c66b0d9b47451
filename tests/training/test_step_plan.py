"""Micro-batches to contrastive batches to optimizer steps to epochs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from easynlp_fashionklip.training.step_plan import StepPlan, WaitClock, contrastive_batches


@pytest.mark.parametrize(
    ("batches", "epochs", "accumulation", "total_batches", "steps"),
    [(4, 2, 1, 8, 8), (4, 2, 3, 8, 4), (4, 0.5, 1, 2, 2), (4, 1.5, 3, 6, 3), (5, 0.1, 8, 1, 1)],
)
def test_totals_agree_with_walking_through(
    batches: int, epochs: float, accumulation: int, total_batches: int, steps: int
) -> None:
    plan = StepPlan(batches, epochs, accumulation)
    assert (plan.total_batches, plan.total_steps) == (total_batches, steps)
    walked, epoch, in_step = 0, 0, 0
    for number in range(total_batches):
        epoch, batch = divmod(number, batches)
        in_step += 1
        if plan.ends_step(epoch, batch + 1):
            assert in_step == plan.batches_of_step(epoch, batch) <= accumulation
            walked, in_step = walked + 1, 0
    assert (walked, in_step) == (steps, 0)


def test_micro_batches_are_collected() -> None:
    micro = [{"rows": n, "label_ids": []} for n in range(5)]
    counts = {3: 2, 4: 1, 5: 2}
    collected = list(contrastive_batches(micro, counts.__getitem__, start=3))
    assert collected == [[{"rows": 0}, {"rows": 1}], [{"rows": 2}], [{"rows": 3}, {"rows": 4}]]


def test_the_share_of_waiting() -> None:
    def slow() -> Iterator[list[dict[str, int]]]:
        for n in range(2):
            time.sleep(0.02)
            yield [{"rows": n}]

    clock = WaitClock()
    assert len(list(clock.waits(slow()))) == 2
    assert 0.5 < clock.share() <= 1
    time.sleep(0.01)
    assert clock.share() < 0.1
