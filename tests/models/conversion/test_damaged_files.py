"""Files of weights that are damaged: loaded, or told in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.zoo import load_pretrained

State = dict[str, Tensor]


@pytest.mark.slow
@given(flips=st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 255)), min_size=1, max_size=6))
@settings(
    max_examples=1000,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_damaged_files_load_or_are_told(
    flips: list[tuple[int, int]], folder: Path, make_state: Callable[..., State]
) -> None:
    """Bits flipped in the first and last kilobytes, where the structure is."""
    path = folder / "clip.pt"
    if not (folder / "whole.pt").exists():
        torch.save(make_state(), folder / "whole.pt")
    content = bytearray((folder / "whole.pt").read_bytes())
    for place, value in flips:
        content[place % 20_000 if place % 2 else -(place % 20_000) - 1] = value
    path.write_bytes(content)
    try:
        load_pretrained(path, activation="gelu")
    except InputError as error:
        assert "clip.pt" in str(error) or "logit_scale" in str(error)
