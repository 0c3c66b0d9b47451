"""Other programs' formats, written and read back; what cannot be written in them is said."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.clip_tokenizer import VOCABULARY
from easynlp_fashionklip.models.conversion.writing import (
    openai_state,
    write_open_clip_file,
    write_open_clip_folder,
    write_release,
)
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained

State = dict[str, Tensor]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """A folder without a tokenizer."""
    (tmp_path / "clean").mkdir()
    return tmp_path / "clean"


@pytest.fixture
def load(make_state: Callable[..., State], folder: Path, clean: Path) -> Callable[..., tuple[DualEncoder, State]]:
    """An encoder with CLIP's words or fewer, and the weights it came from."""
    if find_spec("open_clip") is None:
        pytest.skip("open_clip_torch, whose vocabulary this is, is missing")

    def make(activation: Any = "quick_gelu", words: int = VOCABULARY) -> tuple[DualEncoder, State]:
        state, path = make_state(words=words), (clean if words == VOCABULARY else folder) / "source.pt"
        torch.save(state, path)
        return load_pretrained(path, activation=activation), state

    return make


def equal(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_weights_come_back_bit_for_bit(load: Callable[..., tuple[DualEncoder, State]]) -> None:
    model, state = load()
    assert equal(openai_state(model), state)


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_open_clips_file(
    load: Callable[..., tuple[DualEncoder, State]], clean: Path, name: str, activation: str
) -> None:
    model, state = load(activation)
    write_open_clip_file(model, clean / name)
    again = load_pretrained(clean / name, activation="auto" if name.endswith("safetensors") else activation)
    assert equal(openai_state(again), state)
    assert again.config.vision_config.hidden_act == activation


def test_the_activation_is_in_the_metadata(load: Callable[..., tuple[DualEncoder, State]], clean: Path) -> None:
    write_open_clip_file(load("gelu")[0], clean / "weights.safetensors")
    with safe_open(clean / "weights.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "activation": "gelu"}


def test_the_releases_checkpoint(load: Callable[..., tuple[DualEncoder, State]], clean: Path) -> None:
    model, state = load()
    write_release(model, clean / "mine.pt", "mine")
    content = torch.load(clean / "mine.pt", weights_only=True)
    assert list(content) == ["epoch", "name", "state_dict", "optimizer"]
    assert equal({key.removeprefix("module."): value for key, value in content["state_dict"].items()}, state)
    assert all(key.startswith("module.") for key in content["state_dict"])
    again = load_pretrained(clean / "mine.pt")
    assert equal(openai_state(again), state)
    assert again.config.vision_config.hidden_act == "quick_gelu"


def test_what_has_no_counterpart_is_refused(
    load: Callable[..., tuple[DualEncoder, State]], clip: DualEncoder, pair: DualEncoder, tmp_path: Path
) -> None:
    path = tmp_path / "out.pt"
    with pytest.raises(InputError, match="computes quick_gelu alone"):
        write_release(load("gelu")[0], path, "x")
    with pytest.raises(InputError, match="258 words are not CLIP's"):
        write_release(load(words=258)[0], path, "x")
    with pytest.raises(InputError, match="32 wide has 2 heads"):
        write_open_clip_file(clip, path)
    for write in (lambda: openai_state(pair), lambda: write_open_clip_folder(pair, tmp_path)):
        with pytest.raises(InputError, match="family fashionklip-pair has no counterpart"):
            write()
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda config: setattr(config.vision_config, "hidden_act", "relu"), "different activations"),
        (lambda config: setattr(config.text_config, "layer_norm_eps", 1e-6), "epsilon"),
        (lambda config: setattr(config.text_config, "eos_token_id", 5), "end-of-text"),
    ],
)
def test_what_openai_does_not_compute_is_refused(
    change: Callable[[Any], None], words: str, clip: DualEncoder, tmp_path: Path
) -> None:
    change(clip.config)
    with pytest.raises(InputError, match=words):
        write_open_clip_folder(clip, tmp_path)


def test_pictures_that_open_clip_would_prepare_otherwise_are_refused(clip: DualEncoder, tmp_path: Path) -> None:
    clip.processor = clip.processor.with_image_size(48)
    with pytest.raises(InputError, match="32 px alone"):
        write_open_clip_folder(clip, tmp_path)
