"""Batched encoding equals encoding one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import on_processes

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.images import open_image
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.inference.encode import (
    encode_images,
    encode_images_to,
    encode_table,
    encode_texts,
    encode_texts_to,
    evaluating,
)
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained

TEXTS = ["a red dress", "jeans", "a red dress", "", "a very much longer description of a coat", "hat"]


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return load_pretrained("tiny")


@pytest.fixture(scope="module")
def table(catalogue: Path) -> PairTable:
    return PairTable(open_catalogue(catalogue / "valid.csv"), "caption", "image")


def one_text(model: DualEncoder, text: str) -> np.ndarray:
    with torch.no_grad():
        encoded: np.ndarray = model.encode_text(**model.processor.tokenize([text]))[0].numpy()
    return encoded


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_texts_keep_their_order(model: DualEncoder, batch_size: int) -> None:
    embeds = encode_texts(model, TEXTS, batch_size=batch_size)
    expected = np.stack([one_text(model, text) for text in TEXTS])
    assert embeds.dtype == np.float32
    np.testing.assert_allclose(embeds, expected, atol=1e-5)


def test_no_texts(model: DualEncoder) -> None:
    assert encode_texts(model, []).shape == (0, 32)


def test_equal_texts_are_encoded_once(model: DualEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = model.encode_text
    monkeypatch.setattr(model, "encode_text", lambda ids, mask: (seen.append(len(ids)), original(ids, mask))[1])
    encode_texts(model, TEXTS, batch_size=2)
    assert sum(seen) == len(set(TEXTS))


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_keep_their_order(model: DualEncoder, table: PairTable, workers: int) -> None:
    embeds = encode_images(model, table, batch_size=5, workers=workers, progress=False)
    for row in (0, 4, 5, 15):
        reference = table.pair(row).image
        assert reference is not None
        inputs = model.processor(images=[open_image(reference)])
        with torch.no_grad():
            expected = model.encode_image(inputs["pixel_values"])[0].numpy()
        np.testing.assert_allclose(embeds[row], expected, atol=1e-5)


def test_the_models_mode_is_given_back(model: DualEncoder, table: PairTable) -> None:
    model.train()
    encode_table(model, table.subset([0, 1]), workers=0, progress=False)
    assert model.training
    with pytest.raises(ZeroDivisionError), evaluating(model):
        assert not model.training
        assert not torch.is_grad_enabled()
        raise ZeroDivisionError
    assert model.training
    model.eval()


@pytest.mark.parametrize(("text", "image"), [("caption", None), (None, "image"), ("caption", "image")])
def test_what_the_table_lacks_is_none(model: DualEncoder, catalogue: Path, text: str | None, image: str | None) -> None:
    some = PairTable(open_catalogue(catalogue / "valid.csv"), text, image).subset([2, 1])
    embeds = encode_table(model, some, workers=0, progress=False)
    assert (embeds.texts is None) == (text is None)
    assert (embeds.images is None) == (image is None)
    if embeds.texts is not None:
        np.testing.assert_allclose(
            embeds.texts[1], one_text(model, "blue striped dress with number 1 pockets"), atol=1e-5
        )


def test_a_bad_picture_is_named(
    model: DualEncoder, tmp_path: Path, rows_of: Callable[..., Any], write_table: Callable[..., Path]
) -> None:
    path = write_table(tmp_path / "t.csv", rows_of(tmp_path, 3))
    (tmp_path / "images" / "p1.png").write_bytes(b"nonsense")
    bad = PairTable(open_catalogue(path), None, "image")
    with pytest.raises(InputError, match=r"t\.csv, line 3.*p1\.png"):
        encode_images(model, bad, workers=1, progress=False)


def test_tower_outputs_in_place_of_embeddings(model: DualEncoder, table: PairTable) -> None:
    outputs = torch.from_numpy(encode_texts(model, TEXTS, encode=model.text_tower_output, batch_size=2))
    with torch.no_grad():
        np.testing.assert_allclose(model.project_text(outputs).numpy(), encode_texts(model, TEXTS), atol=1e-5)
    found = {}

    def store(rows: torch.Tensor, part: torch.Tensor) -> None:
        found.update(zip(rows.tolist(), part, strict=True))

    encode_images_to(store, model, table, encode=model.image_tower_output, batch_size=5, workers=0)
    with torch.no_grad():
        embeds = model.project_image(torch.stack([found[row] for row in range(len(table))]))
    np.testing.assert_allclose(embeds.numpy(), encode_images(model, table, workers=0), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_texts_handed_out_a_batch_at_a_time(model: DualEncoder, batch_size: int) -> None:
    found: dict[int, np.ndarray] = {}

    def store(numbers: torch.Tensor, part: torch.Tensor) -> None:
        found.update(zip(numbers.tolist(), part.numpy(), strict=True))

    encode_texts_to(store, model, len(TEXTS), TEXTS.__getitem__, batch_size=batch_size)
    assert sorted(found) == list(range(len(TEXTS)))
    expected = np.stack([one_text(model, text) for text in TEXTS])
    np.testing.assert_allclose(np.stack([found[number] for number in range(len(TEXTS))]), expected, atol=1e-5)
    encode_texts_to(store, model, 0, TEXTS.__getitem__)


def _handed_out(model: DualEncoder) -> np.ndarray:
    found: dict[int, np.ndarray] = {}

    def store(numbers: torch.Tensor, part: torch.Tensor) -> None:
        found.update(zip(numbers.tolist(), part.numpy(), strict=True))

    encode_texts_to(store, model, len(TEXTS), TEXTS.__getitem__, encode=model.text_tower_output, batch_size=2)
    return np.stack([found[number] for number in range(len(TEXTS))])


@pytest.mark.usefixtures("on_the_cpu")
def test_every_process_is_handed_all_texts_in_the_same_bits(model: DualEncoder) -> None:
    """Three batches on two processes."""
    for answer in on_processes(2, _handed_out, model):
        np.testing.assert_array_equal(answer, _handed_out(model))
