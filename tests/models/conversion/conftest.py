"""Small CLIPs with random weights in OpenAI's layout, built by hand: no other program is asked what it looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from easynlp_fashionklip.models.byte_tokenizer import byte_tokenizer

WORDS = 258  # of the byte tokenizer
CONTEXT = 40


def block(prefix: str, width: int) -> Iterator[tuple[str, Tensor]]:
    shapes = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
        "mlp.c_fc.weight": (4 * width, width),
        "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (width, 4 * width),
        "mlp.c_proj.bias": (width,),
    }
    for name, shape in shapes.items():
        yield f"{prefix}{name}", torch.randn(shape) * width**-0.5


def openai_state(
    *, width: int = 64, layers: int = 2, words: int = WORDS, context: int = CONTEXT, seed: int = 0
) -> dict[str, Tensor]:
    """A state dict of pictures of 32 px in patches of 8, towers of 2 layers 64 wide, one space of 32."""
    torch.manual_seed(seed)
    state = {
        "positional_embedding": torch.randn(context, width),
        "text_projection": torch.randn(width, 32),
        "logit_scale": torch.tensor(4.0),
        "visual.class_embedding": torch.randn(width),
        "visual.positional_embedding": torch.randn(17, width),
        "visual.proj": torch.randn(width, 32),
        "visual.conv1.weight": torch.randn(width, 3, 8, 8) * 0.05,
        "token_embedding.weight": torch.randn(words, width),
    }
    for norm in ("visual.ln_pre", "visual.ln_post", "ln_final"):
        state |= {f"{norm}.weight": torch.rand(width) + 0.5, f"{norm}.bias": torch.randn(width) * 0.1}
    for layer in range(layers):
        state |= dict(block(f"visual.transformer.resblocks.{layer}.", width))
        state |= dict(block(f"transformer.resblocks.{layer}.", width))
    return state


class Holder(nn.Module):
    """A module that only has parts, as TorchScript can compile it."""

    def forward(self, value: Tensor) -> Tensor:
        return value


def as_module(state: dict[str, Tensor]) -> nn.Module:
    """A tree of modules whose state dict is `state`."""
    root = Holder()
    for key, value in state.items():
        *path, name = key.split(".")
        module: nn.Module = root
        for step, following in pairwise([*path, name]):
            if not hasattr(module, step):
                module.add_module(step, nn.ModuleList() if following.isdigit() else Holder())
            module = getattr(module, step)
        if value.is_floating_point():
            module.register_parameter(name, nn.Parameter(value.clone()))
        else:
            module.register_buffer(name, value.clone())
    return root


@pytest.fixture
def state() -> dict[str, Tensor]:
    return openai_state()


@pytest.fixture
def make_state() -> Callable[..., dict[str, Tensor]]:
    return openai_state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a tokenizer, for files of weights to lie beside."""
    byte_tokenizer(CONTEXT).save_pretrained(str(tmp_path))
    return tmp_path


@pytest.fixture
def torchscript() -> Callable[[dict[str, Tensor], Path], None]:
    """Writes a state dict as OpenAI published its own: a TorchScript archive."""

    def write(state: dict[str, Tensor], path: Path) -> None:
        torch.jit.script(as_module(state)).save(str(path))

    return write
