"""Parts of a build: pictures embedded before a kill are not embedded again, and the result is the same bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from easynlp_fashionklip.app import work_folder
from easynlp_fashionklip.app.work_folder import WorkFolder
from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.inference.encode import encode_images
from easynlp_fashionklip.models.dual_encoder import DualEncoder
from easynlp_fashionklip.models.zoo import load_pretrained

ROWS, BATCH = 22, 4
Store = Callable[[Tensor, Tensor], None]


@pytest.fixture(scope="module")
def encoder() -> DualEncoder:
    return load_pretrained("tiny")


@pytest.fixture()
def table(catalogue: Path) -> PairTable:
    whole = PairTable(open_catalogue(catalogue / "train.csv"), "caption", "image")
    return whole.subset(np.arange(ROWS))


@pytest.fixture()
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures are embedded from now on, in batches of `BATCH`; every batch is committed."""
    real, counts = work_folder.encode_images_to, []

    def counting(store: Store, model: DualEncoder, table: PairTable, *, workers: int) -> None:
        def counted(rows: Tensor, embeds: Tensor) -> None:
            store(rows, embeds)
            counts.append(len(rows))

        real(counted, model, table, batch_size=BATCH, workers=workers, progress=False)

    monkeypatch.setattr(work_folder, "BATCH_SIZE", BATCH)
    monkeypatch.setattr(work_folder, "_SECONDS_BETWEEN_COMMITS", 0.0)
    monkeypatch.setattr(work_folder, "encode_images_to", counting)
    return counts


def interrupted(work: WorkFolder, encoder: DualEncoder, table: PairTable, batches: int) -> None:
    """Embed so many batches; then the process ends."""
    store, done = work_folder._Appender.store, 0

    def stop(self: work_folder._Appender, rows: Tensor, embeds: Tensor) -> None:
        nonlocal done
        if done == batches:
            raise KeyboardInterrupt
        done += 1
        store(self, rows, embeds)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(work_folder._Appender, "store", stop)
        work.encode(encoder, table, 0)


@pytest.mark.parametrize("batches", [0, 1, 3, 5])
def test_embedding_goes_on_after_the_last_batch(
    encoder: DualEncoder, table: PairTable, encoded: list[int], tmp_path: Path, batches: int
) -> None:
    work = WorkFolder(tmp_path / "graph")
    work.open({"build": "1"})
    interrupted(work, encoder, table, batches)
    encoded.clear()
    assert WorkFolder(tmp_path / "graph").open({"build": "1"})
    embeds = work.encode(encoder, table, 0)
    assert sum(encoded) == ROWS - batches * BATCH
    assert np.array_equal(embeds, encode_images(encoder, table, batch_size=BATCH, workers=0, progress=False))
    encoded.clear()
    assert np.array_equal(work.encode(encoder, table, 0), embeds)
    assert encoded == []


@pytest.mark.parametrize("damage", ["cut", "longer", "uncounted", "nonsense"])
def test_only_what_is_surely_there_is_used(
    encoder: DualEncoder, table: PairTable, encoded: list[int], tmp_path: Path, damage: str
) -> None:
    """A power cut may lose the end of a file, or leave rows that nobody counted."""
    work = WorkFolder(tmp_path / "graph")
    work.open({"build": "1"})
    interrupted(work, encoder, table, 3)
    path, counted = work.path / "embeddings.f32", work.path / "encoded.json"
    content = path.read_bytes()
    row = len(content) // (3 * BATCH)
    if damage == "cut":
        path.write_bytes(content[: 2 * BATCH * row + 7])
    elif damage == "longer":
        path.write_bytes(content + b"\xff" * (row + 3))
    elif damage == "uncounted":
        counted.unlink()
    else:
        counted.write_text("[]")
    encoded.clear()
    embeds = work.encode(encoder, table, 0)
    assert sum(encoded) == ROWS - BATCH * {"cut": 2, "longer": 3}.get(damage, 0)
    assert np.array_equal(embeds, encode_images(encoder, table, batch_size=BATCH, workers=0, progress=False))


def test_parts_of_another_build_are_thrown_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    work = WorkFolder(tmp_path / "graph")
    assert not work.open({"model": "one", "rows": "3"})
    (work.path / "embeddings.f32").write_bytes(b"1234")
    assert work.open({"model": "one", "rows": "3"})
    assert (work.path / "embeddings.f32").exists()
    with caplog.at_level("INFO"):
        assert not work.open({"model": "other", "rows": "3"})
    assert "(model)" in caplog.text
    assert not (work.path / "embeddings.f32").exists()


def test_other_peoples_files_are_not_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="holds other files"):
        WorkFolder(tmp_path / "graph", tmp_path / "photos").open({"build": "1"})
    assert (tmp_path / "photos" / "a.jpg").exists()
