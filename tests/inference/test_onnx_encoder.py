"""An export in use: the contract of any encoder, and one sentence for a folder that is not whole."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.inference.encode import encode_table
from easynlp_fashionklip.models.digest import encoder_digest
from easynlp_fashionklip.models.dual_encoder import DualEncoder

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from easynlp_fashionklip.inference.onnx_encoder import OnnxDualEncoder, load_encoder  # noqa: E402
from easynlp_fashionklip.inference.onnx_folder import OnnxConfig, is_onnx_folder, sha256_of  # noqa: E402


@pytest.fixture(scope="module")
def encoder(exported: Path) -> OnnxDualEncoder:
    return OnnxDualEncoder.from_pretrained(exported)


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy of the export that a test may break."""
    return Path(shutil.copytree(exported, tmp_path / "onnx"))


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refresh_digests(folder: Path) -> None:
    edit_config(folder, sha256={name: sha256_of(folder / name) for name in ("image.onnx", "text.onnx")})


def test_a_table_is_embedded_as_by_torch(encoder: OnnxDualEncoder, tiny: DualEncoder, catalogue: Path) -> None:
    table = PairTable(open_catalogue(catalogue / "valid.csv"), "caption", "image")
    ours, expected = (encode_table(one, table, batch_size=5, workers=0, progress=False) for one in (encoder, tiny))
    np.testing.assert_allclose(ours.images, expected.images, atol=1e-4)
    np.testing.assert_allclose(ours.texts, expected.texts, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(ours.images, axis=1), 1, atol=1e-5)


def test_a_batch_of_many_is_that_of_few(encoder: OnnxDualEncoder, tiny: DualEncoder) -> None:
    pixels = torch.randn(70, 3, 32, 32)
    with torch.no_grad():
        np.testing.assert_allclose(encoder.encode_image(pixels), tiny.encode_image(pixels), atol=1e-4)


def test_bytes_and_empty_batches(encoder: OnnxDualEncoder, tiny: DualEncoder) -> None:
    pixels = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    with torch.no_grad():
        np.testing.assert_allclose(encoder.encode_image(pixels), tiny.encode_image(pixels), atol=1e-4)
    assert encoder.encode_image(pixels[:0]).shape == (0, 32)
    assert encoder.encode_text(torch.zeros(0, 5, dtype=torch.long)).shape == (0, 32)


def test_without_a_mask_padding_changes_nothing(family: DualEncoder, export: Callable[[DualEncoder], Path]) -> None:
    found = OnnxDualEncoder.from_pretrained(export(family))
    ids = family.processor.tokenize(["red dress", "a much longer text"])["input_ids"]
    with torch.no_grad():
        np.testing.assert_allclose(found.encode_text(ids), family.encode_text(ids), atol=1e-4)


def test_prompts_and_temperature(encoder: OnnxDualEncoder, tiny: DualEncoder) -> None:
    tokens = tiny.processor.tokenize([f"a photo of {what}" for what in ("dress", "coat", "red dress")])
    with torch.no_grad():
        np.testing.assert_allclose(encoder.encode_prompts(**tokens), tiny.encode_prompts(**tokens), atol=1e-4)
    assert float(encoder.logit_scale.detach()) == pytest.approx(float(tiny.logit_scale.detach()))
    assert json.loads(encoder.config.to_json_string())["source_model_type"] == "clip"


def test_copies_open_the_same_graphs(encoder: OnnxDualEncoder) -> None:
    pixels = torch.randn(2, 3, 32, 32)
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        torch.testing.assert_close(other.encode_image(pixels), encoder.encode_image(pixels))


def test_two_exports_have_two_digests(encoder: OnnxDualEncoder, folder: Path) -> None:
    edit_config(folder, sha256={**encoder.config.sha256, "image.onnx.data": sha256_of(folder / "tokenizer.json")})
    shutil.copy(folder / "tokenizer.json", folder / "image.onnx.data")
    assert encoder_digest(encoder) == encoder_digest(copy.deepcopy(encoder))
    assert encoder_digest(encoder) != encoder_digest(OnnxDualEncoder.from_pretrained(folder))


def test_a_missing_runtime_is_named(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"onnxruntime, which is not installed: pip install 'easynlp-fashionklip"):
        load_encoder(exported)


def test_load_encoder_takes_both(exported: Path) -> None:
    assert isinstance(load_encoder(exported), OnnxDualEncoder)
    assert not isinstance(load_encoder("tiny"), OnnxDualEncoder)
    assert not is_onnx_folder("tiny")


def test_other_sizes_are_refused(encoder: OnnxDualEncoder, exported: Path) -> None:
    with pytest.raises(InputError, match=r"image\.onnx takes pictures of 32 x 32 px, not 48 x 32"):
        encoder.encode_image(torch.zeros(1, 3, 48, 32))
    with pytest.raises(InputError, match=r"exported for pictures of 32 px .* image_size=64"):
        OnnxDualEncoder.from_pretrained(exported, image_size=64)
    assert OnnxDualEncoder.from_pretrained(exported, image_size=32).processor.image_size == 32
    with pytest.raises(InputError, match=r"at most 77 tokens, not 78"):
        encoder.encode_text(torch.ones(1, 78, dtype=torch.long))
    with pytest.raises(InputError, match=r"text\.onnx cannot compute input_ids \(1, 3\)"):
        encoder.encode_text(torch.tensor([[1, 2, 10**6]]))


def test_it_is_not_saved_as_a_checkpoint(encoder: OnnxDualEncoder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is an ONNX export, which is not saved as a checkpoint"):
        encoder.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------------------- bad folders


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert is_onnx_folder(folder)
    word = "tokenizer" if name == "tokenizer.json" else name
    with pytest.raises(InputError, match=word):
        load_encoder(folder)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    place = len(content) // 3
    return content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda content: b"", lambda content: b"nonsense"])
@pytest.mark.parametrize("name", ["image.onnx", "text.onnx"])
def test_a_damaged_graph_is_named(folder: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(InputError, match=rf"{name} is damaged, or of another export"):
        load_encoder(folder)


@pytest.mark.parametrize("damage", [cut, lambda content: b"", lambda content: b"nonsense"])
def test_a_damaged_graph_whose_digest_agrees(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    (folder / "image.onnx").write_bytes(damage((folder / "image.onnx").read_bytes()))
    refresh_digests(folder)
    with pytest.raises(InputError, match=r"image\.onnx (cannot be opened by onnxruntime \d|takes )"):
        load_encoder(folder)


def test_operators_of_a_later_onnx(folder: Path) -> None:
    graph = onnx.load(folder / "text.onnx")
    for entry in graph.opset_import:
        entry.version = 99
    onnx.save(graph, folder / "text.onnx")
    refresh_digests(folder)
    with pytest.raises(InputError, match=r"text\.onnx cannot be opened by onnxruntime .* newer onnxruntime"):
        load_encoder(folder)


def test_graphs_that_changed_places(folder: Path) -> None:
    (folder / "image.onnx").rename(folder / "other")
    (folder / "text.onnx").rename(folder / "image.onnx")
    (folder / "other").rename(folder / "text.onnx")
    refresh_digests(folder)
    with pytest.raises(InputError, match=r"image\.onnx takes input_ids, attention_mask"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("embed_dim", 31, "gives image_embeds of shape"),
        ("embed_dim", 0, "embed_dim is 0"),
        ("image_size", "32", "image_size is '32'"),
        ("image_size", True, "image_size is True"),
        ("max_length", -1, "max_length is -1"),
        ("logit_scale", float("nan"), "logit_scale is nan"),
        ("logit_scale", 10**400, "logit_scale is 1000"),
        ("sha256", {}, "sha256 of image.onnx"),
        ("sha256", {"image.onnx": "x", "text.onnx": "x", "tokenizer.json": 3}, "sha256 of tokenizer.json"),
        ("sha256", {"image.onnx": 3, "text.onnx": "x"}, "sha256 of image.onnx"),
        ("preprocessing", {}, "does not say how to resize"),
        ("tokenizer_model_type", "nonsense", "no family that transformers knows"),
        ("format_version", 99, "format version 99"),
    ],
)
def test_a_wrong_description(folder: Path, name: str, value: object, word: str) -> None:
    edit_config(folder, **{name: value})
    with pytest.raises(InputError, match=word):
        load_encoder(folder)


def test_a_name_that_leads_outside_is_looked_up_inside(folder: Path) -> None:
    (folder.parent / "elsewhere").write_text("secret")
    config = json.loads((folder / "config.json").read_text())
    edit_config(folder, sha256={**config["sha256"], "../elsewhere": "0" * 64})
    with pytest.raises(InputError, match=r"lacks \.\./elsewhere"):
        load_encoder(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from([*OnnxConfig.__dataclass_fields__, "other"]), value=JSON)
def test_any_value_in_the_description_is_read_or_refused(exported: Path, name: str, value: Any) -> None:
    content = json.loads((exported / "config.json").read_text())
    try:
        OnnxConfig.from_dict({**content, name: value})
    except InputError as error:
        assert "\n" not in str(error)
