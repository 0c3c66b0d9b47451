"""All generators go on where they were, through a file that holds plain values only."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from easynlp_fashionklip.training.random_state import random_state, set_random_state

CPU = torch.device("cpu")


def draw() -> list[float]:
    return [float(torch.randn(())), float(np.random.normal()), random.gauss(0, 1), float(np.random.random())]


def test_the_same_numbers_follow(tmp_path: Path) -> None:
    random.seed(3)
    np.random.seed(3)
    draw()  # both NumPy and Python then hold a second normal number back
    torch.save(random_state(CPU), tmp_path / "state")
    expected = [draw() for _ in range(3)]
    draw()
    set_random_state(torch.load(tmp_path / "state", weights_only=True), CPU)
    assert [draw() for _ in range(3)] == expected
