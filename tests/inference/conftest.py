"""Small encoders of each family, each exported once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from model_families import FAMILIES

from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained


@pytest.fixture(scope="session", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> DualEncoder:
    """A small encoder of each family in turn; tests must not change it."""
    return FAMILIES[request.param]()


@pytest.fixture(scope="session")
def tiny() -> DualEncoder:
    """Tests must not change it."""
    return load_pretrained("tiny")


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[DualEncoder], Path]:
    """An encoder of a family as ONNX, exported once in a session; tests must not change the folder."""
    pytest.importorskip("onnxruntime")
    from easynlp_fashionklip.inference.onnx_export import export_onnx

    folders: dict[str, Path] = {}

    def folder_of(model: DualEncoder) -> Path:
        kind = model.config.model_type
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp("exported") / "onnx"
            export_onnx(model, folders[kind])
        return folders[kind]

    return folder_of


@pytest.fixture(scope="session")
def exported(tiny: DualEncoder, export: Callable[[DualEncoder], Path]) -> Path:
    """`tiny` as ONNX; tests must not change the folder."""
    return export(tiny)
