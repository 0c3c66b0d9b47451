"""One step of training with every family, under both losses: it learns, in both towers, in temperature and bias."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from model_families import FAMILIES, SIGLIP_BIAS, SIGLIP_SCALE, small_siglip
from torch import Tensor
from transformers import SiglipModel

from easynlp_fashionklip.config import AppConfig
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained
from easynlp_fashionklip.training.task import FashionKLIPTask

TEXTS = ["a red dress", "blue jeans with five pockets", "short sleeve t-shirt in white", "红色连衣裙"]


def batch_of(model: DualEncoder) -> dict[str, Any]:
    rows, side = torch.arange(len(TEXTS)), model.processor.image_size
    pixels = torch.randn(len(TEXTS), 3, side, side, generator=torch.Generator().manual_seed(0))
    keys = {"rows": rows, "product_keys": rows, "text_keys": rows + 100}
    return {"pixel_values": pixels, **keys, **model.processor.tokenize(TEXTS)}


def losses_of(task: FashionKLIPTask) -> dict[str, Tensor]:
    return task.compute_loss(task(batch_of(task.model)))


@pytest.mark.parametrize("itc", ["softmax", "sigmoid"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_step_reaches_everything_that_trains_and_lowers_the_loss(family: str, itc: str) -> None:
    model = FAMILIES[family]()
    depth = {"image": len(model.backend.image_tower.blocks), "text": len(model.backend.text_tower.blocks)}
    model.set_trainable_layers(**depth)
    task = FashionKLIPTask(model, AppConfig(cva=False, itc_loss=itc), num_rows=len(TEXTS)).train()
    for module in task.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # or the second loss would be of another network
    before = losses_of(task)["loss"]
    before.backward()
    assert torch.isfinite(before)
    trained = {name: parameter for name, parameter in task.named_parameters() if parameter.requires_grad}
    assert [name for name, parameter in trained.items() if parameter.grad is None] == []
    for tower in (model.backend.image_tower, model.backend.text_tower):
        assert sum(float(parameter.grad.abs().sum()) for parameter in tower.parameters()) > 0
    assert "model.logit_scale" in trained
    assert ("model.logit_bias" in trained) == (family == "siglip" and itc == "sigmoid")
    assert ("itc.bias" in trained) == (family != "siglip" and itc == "sigmoid")
    steepness = sum(float(parameter.grad.square().sum()) for parameter in trained.values())
    torch.optim.SGD(trained.values(), lr=0.01 * before.item() / steepness).step()  # a hundredth less, were it a plane
    assert losses_of(task)["loss"] < before


def test_siglip_goes_on_with_its_own_loss(tmp_path: Any) -> None:
    """The first loss is transformers' own for the checkpoint, temperature above CLIP's bound and bias included."""
    model = small_siglip()
    model.save_pretrained(tmp_path)
    task = FashionKLIPTask(model, AppConfig(cva=False, itc_loss="sigmoid"), num_rows=len(TEXTS)).eval()
    batch = batch_of(model)
    with torch.no_grad():
        found = losses_of(task)
        wanted = SiglipModel.from_pretrained(tmp_path).eval()(
            pixel_values=batch["pixel_values"], input_ids=batch["input_ids"], return_loss=True
        )
    torch.testing.assert_close(found["loss"], wanted.loss, atol=1e-4, rtol=1e-4)
    assert found["logit_scale"].item() == pytest.approx(math.exp(SIGLIP_SCALE), rel=1e-5)


def test_what_the_sigmoid_loss_learns_is_saved(tmp_path: Any) -> None:
    model = small_siglip()
    task = FashionKLIPTask(model, AppConfig(cva=False, itc_loss="sigmoid"), num_rows=len(TEXTS))
    assert task.itc.bias is model.logit_bias
    losses_of(task)["loss"].backward()
    torch.optim.SGD([model.logit_scale, model.logit_bias], lr=1e-2).step()
    model.save_pretrained(tmp_path)
    again = load_pretrained(tmp_path)
    assert again.logit_bias.item() == model.logit_bias.item() != SIGLIP_BIAS
    assert again.logit_scale.item() == model.logit_scale.item() != pytest.approx(SIGLIP_SCALE, abs=1e-9)


def test_a_softmax_leaves_the_bias_and_can_lower_a_temperature_beyond_its_bound() -> None:
    model = small_siglip()
    task = FashionKLIPTask(model, AppConfig(cva=False), num_rows=len(TEXTS))
    assert not model.logit_bias.requires_grad
    losses = losses_of(task)
    assert losses["logit_scale"].item() == pytest.approx(100.0, rel=1e-3)
    losses["loss"].backward()
    assert model.logit_scale.grad is not None and model.logit_scale.grad.item() != 0.0
    assert model.logit_bias.item() == SIGLIP_BIAS


def test_other_families_begin_at_siglips_temperature_and_bias() -> None:
    task = FashionKLIPTask(FAMILIES["chinese_clip"](), AppConfig(cva=False, itc_loss="sigmoid"), num_rows=4)
    assert task.model.logit_scale.exp().item() == pytest.approx(10.0)
    assert task.itc.bias.item() == -10.0
    with torch.no_grad():
        task.model.logit_scale.fill_(10.0)
    assert losses_of(task)["logit_scale"] == 100.0
