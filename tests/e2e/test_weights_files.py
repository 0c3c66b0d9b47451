"""Files of weights and EasyNLP's model zoo, where `pretrain_model_name_or_path` names them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPModel

Run = Callable[..., Any]
NUMBERS = ("--learning_rate=1e-3", "--epoch_num=1", "--micro_batch_size=8", "--random_seed=42", "--data_threads=0")
REST = "min_frequency=1 precision=fp32"


@pytest.fixture
def weights(tmp_path: Path, fashionklip_here: Run) -> Path:
    """open_clip's folder of `tiny`."""
    outcome = fashionklip_here(["convert", "tiny", str(tmp_path / "clip"), "--to", "open_clip"])
    assert outcome.code == 0, outcome.err
    return tmp_path / "clip" / "open_clip_model.safetensors"


def test_training_starts_from_a_file(
    weights: Path, catalogue: Path, tmp_path: Path, easynlp_here: Run, arguments: Run
) -> None:
    flags = (*NUMBERS, f"--checkpoint_dir={tmp_path / 'out'}")
    parameters = f"pretrain_model_name_or_path={weights} {REST}"
    outcome = easynlp_here(arguments("train", catalogue / "train.csv", *flags, parameters=parameters))
    assert outcome.code == 0, outcome.err
    trained = CLIPModel.from_pretrained(tmp_path / "out")
    assert trained.config.vision_config.hidden_act == "quick_gelu"  # as `tiny`, told by open_clip_config.json


def test_a_name_is_found_below_modelzoo_base_dir(
    weights: Path, catalogue: Path, tmp_path: Path, easynlp_here: Run, arguments: Run
) -> None:
    name = "alibaba-pai/pai-clip-commercial-base-en"
    shutil.copytree(weights.parent, tmp_path / "zoo" / name)
    flags = (f"--modelzoo_base_dir={tmp_path / 'zoo'}", f"--outputs={tmp_path / 'out.npz'}")
    parameters = f"pretrain_model_name_or_path={name}"
    outcome = easynlp_here(arguments("predict", catalogue / "valid.csv", *flags, parameters=parameters))
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "out.npz").is_file()


class Touches:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.path), "w"))


def test_a_program_is_run_by_trust_alone(
    weights: Path, catalogue: Path, tmp_path: Path, easynlp_here: Run, arguments: Run
) -> None:
    torch.save({"state_dict": {}, "extra": Touches(tmp_path / "made")}, weights.with_name("bad.pt"))
    argv = (catalogue / "valid.csv", f"--outputs={tmp_path / 'out.npz'}")
    parameters = f"pretrain_model_name_or_path={weights.with_name('bad.pt')}"
    refused = easynlp_here(arguments("predict", *argv, parameters=parameters))
    assert refused.code == 2
    assert "bad.pt is refused: beside weights it asks for io.open" in refused.err
    assert not (tmp_path / "made").exists()
    trusted = easynlp_here(arguments("predict", *argv, parameters=f"{parameters} trust_pickle=true"))
    assert trusted.code == 2  # it holds no weights after all
    assert "is trusted: the program in it is run now" in trusted.err
    assert (tmp_path / "made").exists()


def test_evaluating_takes_what_training_takes_of_a_file(
    weights: Path, catalogue: Path, tmp_path: Path, fashionklip_here: Run
) -> None:
    def evaluate(out: str, *more: str, checkpoint: Path = weights) -> Any:
        flags = (f"--tables={catalogue / 'valid.csv'}", "--text=caption", "--image=image", "--workers=0")
        where = (f"--checkpoint={checkpoint}", f"--out={tmp_path / out}")
        return fashionklip_here(["evaluate", "--protocol=fashiongen.full.v1", *flags, *where, *more])

    ranks = {}
    for activation in ("gelu", "quick_gelu"):
        outcome = evaluate(activation, f"--clip_activation={activation}")
        assert outcome.code == 0, outcome.err
        ranks[activation] = dict(np.load(tmp_path / activation / "per_query.npz"))
    assert any((ranks["gelu"][name] != ranks["quick_gelu"][name]).any() for name in ranks["gelu"])

    bad = weights.with_name("bad.pt")
    torch.save({"state_dict": {}, "extra": Touches(tmp_path / "made")}, bad)
    assert evaluate("bad", checkpoint=bad).code == 2
    assert not (tmp_path / "made").exists()
    assert evaluate("bad", "--trust_pickle", checkpoint=bad).code == 2  # it holds no weights after all
    assert (tmp_path / "made").exists()
