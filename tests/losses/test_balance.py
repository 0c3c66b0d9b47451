"""The weight between the losses: w = 1 / (5 r), clamped, without gradient."""

from __future__ import annotations

import pytest
import torch

from easynlp_fashionklip.losses import balance_weight, total_loss


@pytest.mark.parametrize(
    ("itc", "cva", "w_max", "expected"),
    [
        (2.0, 2.0, 0.5, 0.2),  # r = 1
        (2.0, 4.0, 0.5, 0.1),  # r = 2
        (4.0, 2.0, 0.5, 0.4),  # r = 1/2
        (5.0, 2.0, 0.5, 0.5),  # exactly at the limit
        (20.0, 2.0, 0.5, 0.5),  # 2, clamped
        (20.0, 2.0, 1.0, 1.0),
        (0.0, 2.0, 0.5, 0.0),
        (2.0, 0.0, 0.5, 0.0),  # no CVA loss: no weight, although 1/(5r) is infinite
        (0.0, 0.0, 0.5, 0.0),
        (2.0, 1e-45, 0.5, 0.5),  # denormal: clamped, not infinite
        (2.0, 2.0, 0.0, 0.0),
    ],
)
def test_known_weights(itc: float, cva: float, w_max: float, expected: float) -> None:
    assert balance_weight(torch.tensor(itc), torch.tensor(cva), w_max).item() == pytest.approx(expected)


@pytest.mark.parametrize("ratio", [1e-30, 0.01, 0.19, 0.21, 1.0, 100.0])
@pytest.mark.parametrize("w_max", [0.5, 1.0])
def test_the_loss_weight_never_goes_negative_when_cva_is_below_a_fifth_of_itc(ratio: float, w_max: float) -> None:
    """The release: w = 1/(5r) exceeds 1 below r = 1/5 and ITC is trained backwards."""
    itc = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    cva = torch.tensor(3.0 * ratio, dtype=torch.float64, requires_grad=True)
    weight = balance_weight(itc, cva, w_max)
    d_itc, d_cva = torch.autograd.grad(total_loss(itc, cva, weight), (itc, cva))
    assert 0.0 < weight.item() <= w_max
    assert d_itc.item() >= 0.0
    assert d_cva.item() >= 0.0


def test_no_gradient_flows_through_the_weight() -> None:
    itc = torch.tensor(2.0, requires_grad=True)
    cva = torch.tensor(4.0, requires_grad=True)
    weight = balance_weight(itc, cva, 0.5)
    assert not weight.requires_grad
    d_itc, d_cva = torch.autograd.grad(total_loss(itc, cva, weight), (itc, cva))
    assert d_itc.item() == pytest.approx(0.9)
    assert d_cva.item() == pytest.approx(0.1)


def test_total_takes_a_fixed_weight_too() -> None:
    assert total_loss(torch.tensor(2.0), torch.tensor(10.0), 0.25).item() == 4.0
    assert total_loss(torch.tensor(2.0), torch.tensor(10.0), 0.0).item() == 2.0


def test_without_a_cva_loss_the_total_is_itc() -> None:
    itc, cva = torch.tensor(2.5), torch.tensor(0.0)
    assert total_loss(itc, cva, balance_weight(itc, cva, 0.5)).item() == 2.5


def test_a_loss_that_is_not_a_number_stays_visible() -> None:
    itc, cva = torch.tensor(2.5), torch.tensor(torch.nan)
    assert total_loss(itc, cva, balance_weight(itc, cva, 0.5)).isnan()
