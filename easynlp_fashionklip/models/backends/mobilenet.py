"""MobileNetV2's forward with batch norms of fixed statistics folded into their convolutions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import MobileNetV2Model

from easynlp_fashionklip.models.backends.cpu_convolution import convolution_relu6


def folded_convolution(layer: Any, features: Tensor) -> Tensor:
    """Convolution, batch norm in eval mode and activation of one transformers `MobileNetV2ConvLayer`.

    gamma (w * x - mean) / sqrt(var + eps) + beta is one convolution with weights w gamma / sqrt(var + eps), so the
    activation map is read and written once less, forward and backward; gradients of w, gamma and beta are exact.
    """
    convolution, norm = layer.convolution, layer.normalization
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight, bias = convolution.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    options = (list(convolution.stride), list(convolution.padding), convolution.groups)
    known = layer.activation is None or isinstance(layer.activation, nn.ReLU6)
    known = known and not torch.onnx.is_in_onnx_export()  # ONNX knows no fused operation
    if known and features.device.type == "cpu" and set(convolution.dilation) == {1}:
        return convolution_relu6(features, weight, bias, *options, layer.activation is not None)
    features = F.conv2d(features, weight, bias, *options[:2], convolution.dilation, convolution.groups)
    return features if layer.activation is None else layer.activation(features)


def inverted_residual(block: Any, entering: Tensor) -> Tensor:
    """One transformers `MobileNetV2InvertedResidual`, its batch norms in eval mode."""
    features = entering
    for layer in (block.expand_1x1, block.conv_3x3, block.reduce_1x1):
        features = folded_convolution(layer, features)
    return entering + features if block.use_residual else features


def pooled_features(model: MobileNetV2Model, pixel_values: Tensor, checkpointing: bool = False) -> Tensor:
    """B x 3 x H x W -> B x 1280: what `model(pixel_values).pooler_output` gives in eval mode.

    Only for `tf_padding=False`, where padding is part of the convolution. With `checkpointing` the backward pass
    computes each block again instead of keeping its activations.
    """
    # oneDNN's convolutions are faster on channels-last activations; the weights keep their layout.
    features = pixel_values.contiguous(memory_format=torch.channels_last)
    stem: Any = model.conv_stem
    for layer in (stem.first_conv, stem.expand_1x1, stem.conv_3x3, stem.reduce_1x1):
        features = features if layer is None else folded_convolution(layer, features)
    for block in model.layer:
        if checkpointing and torch.is_grad_enabled():
            features = checkpoint(inverted_residual, block, features, use_reentrant=False)
        else:
            features = inverted_residual(block, features)
    return folded_convolution(model.conv_1x1, features).mean(dim=(2, 3))
