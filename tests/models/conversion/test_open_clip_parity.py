"""Embeddings of converted weights are open_clip's own, number for number."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from open_clip_reference import open_clip
from safetensors.torch import save_file
from torch import Tensor, nn

from easynlp_fashionklip.models.conversion.writing import openai_state, write_open_clip_folder
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained

TEXTS = ["a red t-shirt", "women's slim jeans, size 34/32", "word " * 100, ""]
SMALL = {
    "patches of 8": (
        {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2},
        {"width": 64, "heads": 1, "layers": 2},
    ),
    "wider": ({"image_size": 48, "patch_size": 16, "width": 128, "layers": 3}, {"width": 64, "heads": 1, "layers": 1}),
    "other text": (
        {"image_size": 28, "patch_size": 14, "width": 64, "layers": 1},
        {"width": 192, "heads": 3, "layers": 2},
    ),
}


@pytest.fixture(scope="module")
def package() -> ModuleType:
    return open_clip()


def reference(package: ModuleType, config: dict[str, Any], quick_gelu: bool) -> nn.Module:
    """open_clip's model with random weights large enough that every part of it matters."""
    torch.manual_seed(0)
    model = package.CLIP(**{**config, "quick_gelu": quick_gelu}).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or ".ln_" in name or name.startswith("ln_"):
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif "mlp" in name:
                parameter.mul_(3)
    return model


@torch.no_grad()
def largest_difference(ours: DualEncoder, theirs: nn.Module) -> float:
    """Of any number of the unit vectors of random pictures and of `TEXTS`, as each program encodes them."""
    pixel_values = torch.randn(3, 3, ours.processor.image_size, ours.processor.image_size)
    tokens = ours.processor.tokenize(TEXTS)
    input_ids = torch.zeros(len(TEXTS), ours.processor.max_length, dtype=torch.long)
    input_ids[:, : tokens["input_ids"].shape[1]] = tokens["input_ids"] * tokens["attention_mask"]
    pairs = [
        (ours.encode_image(pixel_values), theirs.encode_image(pixel_values, normalize=True)),
        (ours.encode_text(**tokens), theirs.encode_text(input_ids, normalize=True)),
        (ours.encode_text(tokens["input_ids"]), theirs.encode_text(input_ids, normalize=True)),
    ]
    return max(float((found - wanted).abs().max()) for found, wanted in pairs)


@pytest.mark.parametrize("quick_gelu", [True, False], ids=["quick_gelu", "gelu"])
@pytest.mark.parametrize("towers", sorted(SMALL))
def test_small_towers(package: ModuleType, tmp_path: Path, towers: str, quick_gelu: bool) -> None:
    vision, text = SMALL[towers]
    theirs = reference(package, {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}, quick_gelu)
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    right, wrong = ("quick_gelu", "gelu") if quick_gelu else ("gelu", "quick_gelu")
    assert largest_difference(load_pretrained(tmp_path / "weights.safetensors", activation=right), theirs) < 1e-5
    assert largest_difference(load_pretrained(tmp_path / "weights.safetensors", activation=wrong), theirs) > 1e-4


def test_a_compiled_model(package: ModuleType, tmp_path: Path) -> None:
    """As OpenAI published its own: the program and the weights in one archive, of which only the weights are read."""
    vision, text = SMALL["patches of 8"]
    theirs = reference(package, {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}, quick_gelu=True)
    torch.jit.script(theirs.half()).save(str(tmp_path / "compiled.pt"))
    assert largest_difference(load_pretrained(tmp_path / "compiled.pt"), theirs.float()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-32-quickgelu", "ViT-B-16", "ViT-L-14-quickgelu"])
def test_true_sizes(package: ModuleType, tmp_path: Path, name: str) -> None:
    config = package.get_model_config(name)
    theirs = reference(package, config, config.get("quick_gelu", False))
    torch.save(theirs.state_dict(), tmp_path / f"{name}.pt")
    ours = load_pretrained(tmp_path / f"{name}.pt", activation="quick_gelu" if "quick" in name else "gelu")
    difference = largest_difference(ours, theirs)
    print(f"{name}: {difference:.1e}")
    assert difference < 1e-5
    back = openai_state(ours)
    assert all(torch.equal(back[key], value) for key, value in theirs.state_dict().items())


def test_open_clip_loads_what_is_written(package: ModuleType, tmp_path: Path) -> None:
    vision, text = SMALL["wider"]
    theirs = reference(package, {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}, quick_gelu=True)
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    ours = load_pretrained(tmp_path / "weights.safetensors", activation="quick_gelu")
    (tmp_path / "written").mkdir()
    write_open_clip_folder(ours, tmp_path / "written")
    again = package.create_model(f"local-dir:{tmp_path / 'written'}").eval()
    assert largest_difference(ours, again) < 1e-5
    states: list[dict[str, Tensor]] = [again.state_dict(), theirs.state_dict()]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_open_clip_loads_the_small_models_heads(package: ModuleType, clip: DualEncoder, tmp_path: Path) -> None:
    """`tiny` has heads 16 wide and words of its own, which the configuration says."""
    write_open_clip_folder(clip, tmp_path)
    theirs = package.create_model(f"local-dir:{tmp_path}").eval()
    assert largest_difference(clip, theirs) < 1e-5
    again = load_pretrained(tmp_path)
    other = again.state_dict()
    assert all(torch.equal(value, other[key]) for key, value in clip.state_dict().items())
