"""Steps whose loss or gradient is no number: counted, and too many in a row end the run."""

from __future__ import annotations

import logging
import math

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.training.engine import StepResult

logger = logging.getLogger(__name__)


class BadSteps:
    """Counts skipped steps.

    Attributes:
        total: skipped since the run began.
        in_a_row: up to now; fp16 finding its scale is not counted here.
        advice: what the user may try.
    """

    def __init__(self, most_in_a_row: int, advice: str = "") -> None:
        """Args: most_in_a_row: after so many the run ends. advice: what the user may try, with present values."""
        self.total = 0
        self.in_a_row = 0
        self._most = most_in_a_row
        self.advice = advice

    def count(self, step: int, loss: float, result: StepResult) -> None:
        """Take note of a step.

        Raises:
            InputError: it was the last of too many in a row.
        """
        finite = math.isfinite(loss)
        if finite and not result.skipped:
            self.in_a_row = 0
            return
        self.total += 1
        if finite and result.rescaled:
            logger.warning("step %d is skipped: a gradient overflowed fp16; the loss scale is smaller now", step)
            return
        self.in_a_row += 1
        told = f"loss {loss:.4g}, gradient norm {result.grad_norm:.4g}"
        if self.in_a_row >= self._most:
            raise InputError(
                f"training stopped at step {step}: the loss or its gradient was no number in {self.in_a_row} steps in "
                f"a row ({told}); {self.advice}, and resume from the last checkpoint."
            )
        logger.warning("step %d is skipped: %s (%d in a row)", step, told, self.in_a_row)
