"""The fused convolution + relu6 equals the two operations apart, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from easynlp_fashionklip.models.backends import cpu_convolution
from easynlp_fashionklip.models.backends.cpu_convolution import convolution_relu6

CASES = [(16, 24, 1, 1, 1), (16, 16, 3, 1, 16), (16, 16, 3, 2, 16), (3, 8, 3, 2, 1)]  # in, out, kernel, stride, groups


def operands(case: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    channels, out, kernel, _, groups = case
    torch.manual_seed(0)
    features = (2 * torch.randn(4, channels, 15, 15, dtype=dtype)).to(memory_format=torch.channels_last)
    weight = torch.randn(out, channels // groups, kernel, kernel, dtype=dtype)
    return features.requires_grad_(), weight.requires_grad_(), torch.randn(out, dtype=dtype).requires_grad_()


def apart(inputs: tuple[Tensor, ...], case: tuple[int, ...], relu6: bool) -> Tensor:
    _, _, kernel, stride, groups = case
    output = F.conv2d(*inputs, [stride, stride], [kernel // 2, kernel // 2], 1, groups)
    return F.relu6(output) if relu6 else output


def together(inputs: tuple[Tensor, ...], case: tuple[int, ...], relu6: bool) -> Tensor:
    features, weight, bias = inputs
    _, _, kernel, stride, groups = case
    return convolution_relu6(features, weight, bias, [stride] * 2, [kernel // 2] * 2, groups, relu6)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("relu6", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(
    case: tuple[int, ...], dtype: torch.dtype, relu6: bool, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused:
        monkeypatch.setattr(cpu_convolution, "_fused_operator", lambda: None)
    inputs = operands(case, dtype)
    wanted, found = apart(inputs, case, relu6), together(inputs, case, relu6)
    torch.testing.assert_close(found, wanted)
    upstream = torch.randn_like(wanted)
    for one, other in zip(
        torch.autograd.grad(found, inputs, upstream), torch.autograd.grad(wanted, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("case", CASES)
def test_bfloat16_under_autocast_is_near_full_precision(case: tuple[int, ...]) -> None:
    inputs = operands(case, torch.float32)
    wanted = apart(inputs, case, True)
    with torch.autocast("cpu", torch.bfloat16):
        found = together(inputs, case, True)
    assert found.dtype == torch.bfloat16
    assert (found - wanted).abs().max() < 0.15
    upstream = torch.randn_like(wanted)
    slightly_inside = (wanted > 0.2) & (wanted < 5.8)  # nearer to the kinks rounding decides whether gradient passes
    upstream = upstream * slightly_inside
    exact = torch.autograd.grad(wanted, inputs, upstream)
    rounded = torch.autograd.grad(found, inputs, upstream.bfloat16())
    for one, other in zip(exact, rounded, strict=True):
        assert other.dtype == torch.float32
        assert (one - other).norm() < 0.01 * one.norm()


def test_gradients_that_nobody_wants_are_not_computed() -> None:
    features, weight, bias = operands(CASES[2], torch.float32)
    frozen = (features.detach(), weight, bias.detach())
    together(frozen, CASES[2], True).sum().backward()
    assert weight.grad is not None and frozen[0].grad is None and frozen[2].grad is None
    with torch.no_grad():
        assert not together((features, weight, bias), CASES[2], True).requires_grad
