"""Training with frozen towers: what is opened, what changes, what is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from easynlp_fashionklip.app.frozen import TableEncoder, keep_frozen_pictures, keep_frozen_texts, tell_what_trains
from easynlp_fashionklip.data import dataset
from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.freezing import parse_freezing
from easynlp_fashionklip.inference.encode import encode_table
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained
from easynlp_fashionklip.training.frozen_tower import FrozenPictures, KeptTexts

Run = Callable[..., Any]
QUICK = ("--learning_rate=1e-2", "--micro_batch_size=8", "--random_seed=42", "--data_threads=0", "--epoch_num=3")
TINY = "pretrain_model_name_or_path=tiny min_frequency=1"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every picture that is decoded."""
    names: list[str] = []
    original = dataset.open_image

    def spy(reference: Any, **options: Any) -> Any:
        names.append(str(reference))
        return original(reference, **options)

    monkeypatch.setattr(dataset, "open_image", spy)
    return names


@pytest.fixture
def train(catalogue: Path, tmp_path: Path, easynlp_here: Run, arguments: Run) -> Run:
    def run(parameters: str, *more: str) -> Any:
        tables = f"{catalogue / 'train.csv'},{catalogue / 'valid.csv'}"
        flags = ("train", tables, f"--checkpoint_dir={tmp_path / 'out'}", *QUICK, *more)
        return easynlp_here(arguments(*flags, parameters=f"{TINY} {parameters}"))

    return run


@pytest.mark.parametrize("cva", ["true", "false"])
def test_with_both_towers_frozen_each_picture_is_opened_once(
    train: Run, opened: list[str], tmp_path: Path, cva: str
) -> None:
    """Three epochs and three evaluations: 32 pictures and 16; the heads alone have changed."""
    outcome = train(f"freeze=both cva={cva}")
    assert outcome.code == 0, outcome.err
    assert len(opened) == 32 + 16
    assert len(set(opened)) == len(opened)
    start, end = load_pretrained("tiny", seed=42).state_dict(), load_pretrained(tmp_path / "out").state_dict()
    changed = {name for name, value in end.items() if name not in start or not torch.equal(value, start[name])}
    assert changed == {
        "backend.model.visual_projection.weight",
        "backend.model.text_projection.weight",
        "logit_scale",
        *(["concepts.nodes"] if cva == "true" else []),
    }


def test_pictures_of_a_tower_that_trains_are_opened_in_every_epoch(train: Run, opened: list[str]) -> None:
    assert train("freeze=text cva=false").code == 0
    assert len(opened) == 3 * (32 + 16)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ("freeze=audio", "freeze=audio: 'audio' is not one of none, vision, text, both, layers:n"),
        ("freeze=text train_layers=1", "freeze=text and train_layers=1 both say"),
        ("freeze=layers:3", "layers:3 goes beyond the image tower, which has 2 layers; give layers:0 to layers:2"),
        ("train_layers=4", "text tower cannot train 4 layers"),
        ("layer_decay=0", "layer_decay=0.0 is out of range"),
    ],
)
def test_what_no_model_has_is_one_sentence(train: Run, tmp_path: Path, parameters: str, sentence: str) -> None:
    outcome = train(parameters)
    assert outcome.code == 2
    assert sentence in outcome.err
    assert outcome.err.strip().count("\n") == 0
    assert not list((tmp_path / "out").glob("*"))


def test_frozen_texts_and_concepts_are_encoded_before_training(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once: 32 texts and their concepts, 16 texts of the other table; none while it trains."""
    sizes: list[int] = []
    original = DualEncoder.text_tower_output

    def spy(self: DualEncoder, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        sizes.append(len(ids))
        return original(self, ids, mask)

    monkeypatch.setattr(DualEncoder, "text_tower_output", spy)
    assert train("freeze=text").code == 0
    assert len(sizes) == 3
    assert sizes[0] == 32 and sizes[2] == 16


@pytest.mark.usefixtures("on_the_cpu")
def test_frozen_layers_below_others_that_train_see_each_caption_once(
    train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = DualEncoder.text_states

    def spy(self: DualEncoder, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        sizes.append(len(ids))
        return original(self, ids, mask)

    monkeypatch.setattr(DualEncoder, "text_states", spy)
    assert train("train_layers=1").code == 0
    assert sizes == [1, 32]  # one to know the size


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("freeze", ["both", "text", "vision", "layers:1"])
def test_a_run_that_was_resumed_ends_in_the_same_bits(train: Run, tmp_path: Path, freeze: str) -> None:
    """What frozen towers are given does not depend on where training began."""
    last = tmp_path / "out" / "pytorch_model_step_12.bin"
    assert train(f"freeze={freeze}", "--save_all_checkpoints").code == 0
    whole = torch.load(last, weights_only=True)
    point = f"--resume_from_checkpoint={tmp_path / 'out' / 'pytorch_model_step_4'}"
    last.unlink()
    assert train(f"freeze={freeze} graph_dir={tmp_path / 'out' / 'graph'}", point).code == 0
    resumed = torch.load(last, weights_only=True)
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def frozen(freeze: str) -> DualEncoder:
    model = load_pretrained("tiny")
    model.freeze(parse_freezing(freeze))
    return model


@pytest.fixture
def table(catalogue: Path) -> PairTable:
    return PairTable(open_catalogue(catalogue / "valid.csv"), "caption", "image")


@pytest.mark.parametrize(("freeze", "pictures_opened"), [("both", 16), ("vision", 16), ("text", 32), ("none", 32)])
def test_a_table_is_embedded_as_the_model_is_now(
    opened: list[str], table: PairTable, freeze: str, pictures_opened: int
) -> None:
    model = frozen(freeze)
    encoder = TableEncoder(model, table, batch_size=5, workers=0)
    for factor in (1.0, 0.5):
        with torch.no_grad():
            for name in ("visual", "text"):
                weight = getattr(model.backend.model, f"{name}_projection").weight
                weight.mul_(torch.linspace(factor, 1, 32))
        embeds = encoder.embeds("evaluating")
        seen = len(opened)
        expected = encode_table(model, table, batch_size=5, workers=0)
        del opened[seen:]
        np.testing.assert_allclose(embeds.images, expected.images, atol=1e-5)
        np.testing.assert_allclose(embeds.texts, expected.texts, atol=1e-5)
    assert len(opened) == pictures_opened


def test_without_room_the_pictures_are_opened_and_it_is_said(
    opened: list[str], table: PairTable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    model = frozen("both")
    pictures = FrozenPictures(model, 16)
    assert pictures.cache is not None
    pictures.cache.budget = 8 * 4 * 32
    keep_frozen_pictures(pictures, table, 0)
    assert not pictures.complete
    assert "no room" in caplog.text and "TMPDIR" in caplog.text


@pytest.mark.usefixtures("on_the_cpu")
def test_without_room_texts_pass_the_whole_tower_and_it_is_said(
    table: PairTable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    monkeypatch.setattr("easynlp_fashionklip.app.frozen.BUDGET_BYTES", 1000)
    texts = KeptTexts(frozen("layers:1"), 16, states=True)
    assert texts.states
    keep_frozen_texts(texts, table.text)
    assert texts.cache is None and not texts.states
    assert "frozen layers of the text tower make of 16 texts" in caplog.text and "TMPDIR" in caplog.text


@pytest.mark.parametrize(
    ("freeze", "sentence"),
    [
        ("none", "both towers train, or part of them; "),
        ("text", "the text tower is frozen; "),
        ("both", "both towers are frozen: only the heads and the temperature train; 2,049 of "),
    ],
)
def test_what_trains_is_said(caplog: pytest.LogCaptureFixture, freeze: str, sentence: str) -> None:
    with caplog.at_level("INFO"):
        tell_what_trains(frozen(freeze))
    assert sentence in caplog.text
    assert ("without augmentation" in caplog.text) == (freeze == "both")
