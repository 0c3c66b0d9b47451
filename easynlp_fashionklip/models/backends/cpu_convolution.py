"""Convolution + relu6 for training on the CPU: fused where oneDNN can, without its slow path in bfloat16."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_CEILING = 6.0
_FUSED_TYPES = (torch.float32, torch.bfloat16)
Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


def _fused_operator() -> Any:
    """oneDNN's convolution with a pointwise operation behind it, which torch.compile uses; None in builds without."""
    if not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_convolution_pointwise", None)


def convolution_relu6(
    features: Tensor, weight: Tensor, bias: Tensor, stride: list[int], padding: list[int], groups: int, relu6: bool
) -> Tensor:
    """`relu6(conv2d(features, weight, bias))`, or without relu6, on the CPU.

    In float32 values and gradients are those of the two separate operations; the activation map is written once
    instead of twice. Under autocast it computes in the half type that autocast chose. Not twice differentiable.

    Args:
        features: B x C x H x W, channels-last for speed.
        weight: D x C/groups x k x k.
        bias: D.
        stride: of height and width.
        padding: of height and width.
        groups: of channels.
        relu6: whether to clamp to 0..6.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else features.dtype
    result: Tensor = _ConvolutionRelu6.apply(
        features.to(dtype), weight.to(dtype), bias.to(dtype), stride, padding, groups, relu6
    )
    return result


class _ConvolutionRelu6(torch.autograd.Function):
    """The operation with its backward; under autograd relu6 needs its output alone."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        stride: list[int],
        padding: list[int],
        groups: int,
        relu6: bool,
    ) -> Tensor:
        output = _forward(features, weight, bias, stride, padding, groups, relu6)
        ctx.save_for_backward(features, weight, output if relu6 else None)
        ctx.options = (stride, padding, groups)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, output = ctx.saved_tensors
        if output is not None:
            gradient = torch.ops.aten.hardtanh_backward(gradient, output, 0.0, _CEILING)
        of_features, of_weight, of_bias = ctx.needs_input_grad[:3]
        stride, padding, groups = ctx.options

        def gradients(upstream: Tensor, inputs: Tensor, filters: Tensor, wanted: list[bool]) -> Gradients:
            """Of features, weight and bias, those wanted."""
            result: Gradients = torch.ops.aten.convolution_backward(
                upstream, inputs, filters, [len(filters)], stride, padding, [1, 1], False, [0, 0], groups, wanted
            )
            return result

        strided_depthwise = groups > 1 and max(stride) > 1
        if not (of_features and strided_depthwise and features.dtype.itemsize == 2):
            return *gradients(gradient, features, weight, [of_features, of_weight, of_bias]), None, None, None, None
        # oneDNN has no kernel for this one gradient in bfloat16 and takes 10 to 100 times as long as in float32. The
        # features' values are not read, only their shape and layout.
        shape = torch.empty_like(features, dtype=torch.float32)
        exact = gradients(gradient.float(), shape, weight.float(), [True, False, False])[0]
        others = gradients(gradient, features, weight, [False, of_weight, of_bias])
        assert exact is not None
        return exact.to(features.dtype), *others[1:], None, None, None, None


def _forward(
    features: Tensor, weight: Tensor, bias: Tensor, stride: list[int], padding: list[int], groups: int, relu6: bool
) -> Tensor:
    fused = _fused_operator() if relu6 and features.dtype in _FUSED_TYPES else None
    if fused is not None:
        clamped: Tensor = fused(
            features, weight, bias, padding, stride, [1, 1], groups, "hardtanh", [0.0, _CEILING], ""
        )
        return clamped
    with torch.autocast("cpu", enabled=False):
        output = F.conv2d(features, weight, bias, stride, padding, 1, groups)
    return output.clamp_(0.0, _CEILING) if relu6 else output
