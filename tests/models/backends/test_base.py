"""What the families of encoders share."""

from __future__ import annotations

import pytest
import torch

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends.base import mask_padding, square_side


@pytest.mark.parametrize(("given", "side"), [(224, 224), ([224, 224], 224), ((32, 32), 32)])
def test_sides_of_squares(given: object, side: int) -> None:
    assert square_side(given) == side


def test_what_is_no_square_is_refused() -> None:
    with pytest.raises(InputError, match="is not a square"):
        square_side([224, 112])


def test_mask_padding() -> None:
    ids, given = torch.tensor([[5, 0, 7, 0]]), torch.tensor([[1, 1, 0, 0]])
    assert mask_padding(ids, given, 0) is given
    assert mask_padding(ids, None, 0).tolist() == [[1, 0, 1, 0]]
    assert mask_padding(ids, None, None).tolist() == [[1, 1, 1, 1]]
