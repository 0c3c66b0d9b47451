"""Under ZeRO-3 temperature and bias of the sigmoid loss have the gradients that they have without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import easynlp_fashionklip

pytest.importorskip("deepspeed", reason="the extra [deepspeed] is not installed")
PROGRAM = Path(__file__).with_name("zero_bias_program.py")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["siglip", "clip"])
def test_gradients_of_temperature_and_bias(family: str) -> None:
    """Of a bias that is the model's, and of one that is the loss's own."""
    root = Path(easynlp_fashionklip.__file__).parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    found = subprocess.run(
        [sys.executable, str(PROGRAM), family], env=environment, capture_output=True, text=True, timeout=240
    )
    assert found.returncode == 0, found.stderr
    gradients = json.loads(found.stdout.strip().splitlines()[-1])
    assert len(gradients["plain"]) == 2
    assert gradients["sharded"] == pytest.approx(gradients["plain"], rel=1e-4)
    assert min(map(abs, gradients["plain"])) > 1e-2
