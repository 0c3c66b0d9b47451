"""Folders of EasyNLP's CLIP application, of open_clip and of the release."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import ChineseCLIPConfig, ChineseCLIPModel

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.backends import BACKENDS
from easynlp_fashionklip.models.clip_tokenizer import MERGES, VOCABULARY
from easynlp_fashionklip.models.conversion.clip_map import chinese_clip_map
from easynlp_fashionklip.models.conversion.clip_shape import shape_of
from easynlp_fashionklip.models.conversion.reading import write_chinese_folder
from easynlp_fashionklip.models.conversion.state_dict import read_weights
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.packaged import locate_file
from easynlp_fashionklip.models.zoo import load_pretrained

State = dict[str, Tensor]
CONFIG = {
    "model_type": "open_clip",
    "embed_dim": 32,
    "image_resolution": 32,
    "vision_layers": 2,
    "vision_width": 64,
    "vision_patch_size": 8,
    "context_length": 40,
    "vocab_size": VOCABULARY,
    "transformer_width": 64,
    "transformer_heads": 2,
    "transformer_layers": 2,
}
CHINESE = {
    "model_type": "chinese_clip",
    "embed_dim": 32,
    "image_resolution": 32,
    "vision_layers": 2,
    "vision_width": 64,
    "vision_patch_size": 8,
    "vocab_size": 9,
    "text_attention_probs_dropout_prob": 0.0,
    "text_hidden_act": "gelu",
    "text_hidden_dropout_prob": 0.0,
    "text_hidden_size": 64,
    "text_initializer_range": 0.02,
    "text_intermediate_size": 128,
    "text_max_position_embeddings": 40,
    "text_num_attention_heads": 4,
    "text_num_hidden_layers": 2,
    "text_type_vocab_size": 2,
}


@pytest.fixture
def easynlp(make_state: Callable[..., State], tmp_path: Path) -> Path:
    """A folder as EasyNLP's application writes it: flat config.json, prefixed weights, a gzipped vocab.txt."""
    if find_spec("open_clip") is None:
        pytest.skip("open_clip_torch, whose vocabulary this is, is missing")
    state = make_state(words=VOCABULARY)
    torch.save({f"open_clip.{key}": value for key, value in state.items()}, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    shutil.copyfile(locate_file(MERGES), tmp_path / "vocab.txt")
    return tmp_path


def test_easynlps_open_clip_folder(easynlp: Path, make_state: Callable[..., State]) -> None:
    model = load_pretrained(easynlp)
    text = model.config.text_config
    assert (text.hidden_act, text.num_attention_heads, text.eos_token_id) == ("quick_gelu", 2, 49407)
    assert torch.equal(model.backend.model.visual_projection.weight, make_state(words=VOCABULARY)["visual.proj"].T)
    tokens = model.processor.tokenize(["a cat", "word " * 100])
    assert tokens["input_ids"][0, :4].tolist() == [49406, 320, 2368, 49407]
    assert tokens["input_ids"].shape == (2, 40)
    assert tokens["input_ids"][1, -1] == 49407


def test_it_is_found_in_easynlps_zoo(easynlp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASYNLP_MODELZOO_BASE_DIR", str(tmp_path / "zoo"))
    shutil.copytree(
        easynlp, tmp_path / "zoo" / "alibaba-pai" / "pai-clip-commercial-base-en", ignore=lambda *_: ["zoo"]
    )
    assert load_pretrained("alibaba-pai/pai-clip-commercial-base-en").embed_dim == 32


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "pytorch_model.bin").unlink(), "has no pytorch_model.bin"),
        (lambda folder: (folder / "pytorch_model.bin").write_bytes(b"x"), "pytorch_model.bin is damaged"),
        (lambda folder: (folder / "vocab.txt").write_bytes(b"\x1f\x8bx"), "vocab.txt cannot be read"),
        (
            lambda folder: (folder / "config.json").write_text(json.dumps(CONFIG | {"model_type": "chinese_clip"})),
            "holds another family",
        ),
        (
            lambda folder: (folder / "config.json").write_text(json.dumps(CONFIG | {"transformer_heads": "two"})),
            "transformer_heads='two' is no number",
        ),
        (
            lambda folder: (folder / "config.json").write_text(json.dumps(CONFIG | {"transformer_heads": 3})),
            "64 wide",
        ),
    ],
)
def test_damaged_folders_are_told(easynlp: Path, damage: Callable[[Path], Any], words: str) -> None:
    damage(easynlp)
    with pytest.raises(InputError, match=words):
        load_pretrained(easynlp)


def test_the_releases_folder_holds_one_file(state: State, folder: Path) -> None:
    inner = {f"module.{key}": value for key, value in state.items()}
    content = {"epoch": 1, "name": "any", "state_dict": inner, "optimizer": {"state": {}, "param_groups": []}}
    torch.save(content, folder / "pai-clip-commercial-base-en.pt")
    assert load_pretrained(folder).config.text_config.hidden_act == "quick_gelu"
    torch.save(state, folder / "other.pt")
    with pytest.raises(InputError, match=r"several files of weights \(other.pt, pai-clip-commercial-base-en.pt\)"):
        load_pretrained(folder)


def test_a_folder_with_nothing_in_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config.json"):
        load_pretrained(tmp_path)


# -------------------------------------------------------------------------------------------------------- Chinese-CLIP


@pytest.fixture
def chinese_state(make_state: Callable[..., State]) -> State:
    """The picture tower of a CLIP and a BERT, under the names their authors gave them."""
    torch.manual_seed(0)
    clip = {key: value for key, value in make_state().items() if key.startswith("visual.")}
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    words = {"vocab_size": 9, "max_position_embeddings": 40}
    config = ChineseCLIPConfig(text_config=words | sizes, vision_config=sizes | {"image_size": 32})
    bert = {f"bert.{key}": value for key, value in ChineseCLIPModel(config).text_model.state_dict().items()}
    rest = {"text_projection": torch.randn(64, 32), "logit_scale": torch.tensor(3.0)}
    return clip | bert | rest | {"bert.pooler.dense.bias": torch.zeros(64)}


@pytest.fixture
def chinese(chinese_state: State, tmp_path: Path) -> Path:
    folder = tmp_path / "chinese"
    folder.mkdir()
    torch.save({f"chinese_clip.{key}": value for key, value in chinese_state.items()}, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(CHINESE))
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "红", "裙", "子", "衣"]))
    return folder


def test_chinese_clip_goes_into_transformers_layout(chinese: Path, chinese_state: State, tmp_path: Path) -> None:
    """What the folder becomes loads in plain transformers, complete, and goes back bit for bit."""
    weights = read_weights(chinese / "pytorch_model.bin")
    shape = shape_of(weights.state, "here").with_heads(0, 4)
    (tmp_path / "hf").mkdir()
    write_chinese_folder(tmp_path / "hf", weights, shape, {"hidden_dropout_prob": 0.0})
    model, report = ChineseCLIPModel.from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert model.config.text_config.num_attention_heads == 4
    assert model.config.text_config.intermediate_size == 128
    assert torch.equal(model.text_projection.weight, chinese_state["text_projection"].T)
    back = chinese_clip_map(2).restore(load_file(tmp_path / "hf" / "model.safetensors"))
    assert back.keys() == chinese_state.keys() - {"bert.pooler.dense.bias"}
    assert all(torch.equal(back[key], chinese_state[key]) for key in back)


def test_its_picture_tower_is_clips(chinese: Path, chinese_state: State, state: State, folder: Path) -> None:
    """The same weights of `visual.` give the same embeddings in both families."""
    torch.save(state | {key: chinese_state[key] for key in state if key.startswith("visual.")}, folder / "clip.pt")
    clip = load_pretrained(folder / "clip.pt", activation="quick_gelu")
    weights = read_weights(chinese / "pytorch_model.bin")
    (folder / "hf").mkdir()
    write_chinese_folder(folder / "hf", weights, shape_of(weights.state, "here"), {})
    model = ChineseCLIPModel.from_pretrained(folder / "hf").eval()
    pixel_values = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        found = model.visual_projection(model.vision_model(pixel_values).pooler_output)
        torch.testing.assert_close(torch.nn.functional.normalize(found, dim=-1), clip.encode_image(pixel_values))


def test_chinese_folders_load_where_the_family_is_known(chinese: Path) -> None:
    if "chinese_clip" in BACKENDS:
        model = load_pretrained(chinese)
        assert isinstance(model, DualEncoder)
        tokens = model.processor.tokenize(["红裙子"])
        assert model.encode_text(**tokens).shape == (1, 32)
    else:
        with pytest.raises(InputError, match="is a Chinese-CLIP, which this version does not support"):
            load_pretrained(chinese)


def test_a_chinese_folder_of_nonsense_is_told(chinese: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "chinese_clip", BACKENDS["clip"])
    (chinese / "config.json").write_text(json.dumps(CHINESE | {"text_hidden_act": [3]}))
    with pytest.raises(InputError, match="config.json does not describe a BERT"):
        load_pretrained(chinese)


def test_a_chinese_folder_needs_its_words(chinese: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "chinese_clip", BACKENDS["clip"])
    (chinese / "vocab.txt").unlink()
    with pytest.raises(InputError, match="has no vocab.txt"):
        load_pretrained(chinese)
