"""The folded MobileNetV2 forward equals transformers' forward and a plain one on the original weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from easynlp_fashionklip.models.backends.mobilenet import pooled_features
from easynlp_fashionklip.models.conversion import TONYLINS_MOBILENET_V2
from easynlp_fashionklip.models.dual_encoder import DualEncoder

# t, c, n, s of table 2 in Sandler et al., MobileNetV2 (2018).
BLOCKS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def conv_norm(state: dict[str, Tensor], x: Tensor, conv: str, norm: str, stride: int = 1, relu6: bool = True) -> Tensor:
    weight = state[f"{conv}.weight"]
    groups = x.shape[1] if weight.shape[1] == 1 else 1
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
    x = F.batch_norm(
        x,
        state[f"{norm}.running_mean"],
        state[f"{norm}.running_var"],
        state[f"{norm}.weight"],
        state[f"{norm}.bias"],
        eps=1e-5,
    )
    return x.clamp(0, 6) if relu6 else x


def plain_mobilenet_v2(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network of the paper, straight from tonylins' keys."""
    x = conv_norm(state, x, "features.0.0", "features.0.1", stride=2)
    number = 1
    for expansion, channels, repeats, first_stride in BLOCKS:
        for repeat in range(repeats):
            name, stride, y = f"features.{number}.conv", first_stride if repeat == 0 else 1, x
            last = 3
            if expansion != 1:
                y = conv_norm(state, y, f"{name}.0", f"{name}.1")
                last = 6
            y = conv_norm(state, y, f"{name}.{last - 3}", f"{name}.{last - 2}", stride=stride)
            y = conv_norm(state, y, f"{name}.{last}", f"{name}.{last + 1}", relu6=False)
            x = x + y if stride == 1 and x.shape[1] == channels else y
            number += 1
    return conv_norm(state, x, "features.18.0", "features.18.1").mean(dim=(2, 3))


@pytest.mark.parametrize("size", [64, 75])
def test_starter_equals_the_original_network(starter: DualEncoder, size: int) -> None:
    torch.manual_seed(0)
    pixel_values = torch.randn(2, 3, size, size)
    model = starter.backend.vision_model
    state = TONYLINS_MOBILENET_V2.reversed().rename(model.state_dict())
    with torch.no_grad():
        wanted = plain_mobilenet_v2(state, pixel_values)
        assert wanted.std() > 0.1
        assert (model(pixel_values).pooler_output - wanted).abs().max() < 1e-4
        assert (pooled_features(model, pixel_values) - wanted).abs().max() < 1e-4


def test_gradients_equal_those_of_the_unfolded_network(pair: DualEncoder) -> None:
    model = pair.backend.vision_model.double().eval()
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    pixel_values = torch.randn(2, 3, 32, 32, dtype=torch.double)
    parameters = dict(model.named_parameters())
    wanted = torch.autograd.grad(model(pixel_values).pooler_output.sin().sum(), list(parameters.values()))
    found = torch.autograd.grad(pooled_features(model, pixel_values).sin().sum(), list(parameters.values()))
    for name, one, other in zip(parameters, wanted, found, strict=True):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}")
