"""Data sets on disk: what `save_to_disk` writes, and folders that are no such thing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from written import columns, products, save_to_disk, write_pictures, write_saved

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.images import read_bytes
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError


def test_what_datasets_itself_has_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "product_id": datasets.Value("string"),
            "caption": datasets.Sequence(datasets.Value("string")),
            "image": datasets.Image(),
            "colour": datasets.ClassLabel(names=["red", "blue", "green"]),
        }
    )
    rows = {**columns(), "caption": [[one.caption, "another"] for one in products()]}
    datasets.Dataset.from_dict(rows, features=features).shuffle(seed=1).save_to_disk(str(tmp_path / "saved"))
    table = PairTable(open_catalogue(tmp_path / "saved"), "caption", "image")
    assert len(table) == 2 * len(products())
    by_id = {one.product_id: one for one in products()}
    for position in range(len(table)):
        pair = table.pair(position)
        product = by_id[pair.product_id]
        assert pair.text == ("another" if position % 2 else product.caption)
        assert pair.image is not None and read_bytes(pair.image) == product.picture
        assert table.cells(position)["colour"] == product.colour


def test_a_single_arrow_file_of_either_kind(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "text": ["x", "y"]})
    for name, write in (("s.arrow", pa.ipc.new_stream), ("f.arrow", pa.ipc.new_file)):
        with pa.OSFile(str(tmp_path / name), "wb") as sink, write(sink, table.schema) as writer:
            writer.write_table(table)
        assert open_catalogue(tmp_path / name).row(1) == {"id": "b", "text": "y"}


def test_paths_are_relative_to_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    names = write_pictures(folder)
    pictures = [{"bytes": None, "path": name} for name in names]
    save_to_disk(folder, pa.table({"image": pictures, "caption": ["x"] * len(names)}))
    image = PairTable(open_catalogue(folder), "caption", "image").pair(3).image
    assert image is not None and read_bytes(image) == products()[3].picture


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "names no data files"),
        ({"_data_files": []}, "names no data files"),
        ({"_data_files": [{"filename": "../other.arrow"}]}, "no file of this folder"),
        ({"_data_files": [{"filename": "/etc/passwd"}]}, "no file of this folder"),
        ({"_data_files": [7]}, "no file of this folder"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "gone.arrow does not exist"),
        ({"_data_files": [{"filename": "state.json"}]}, "cannot be read as Arrow data"),
        ({"_data_files": [{"filename": "x"}], "_indices_data_files": [{"filename": "i"}]}, "flatten_indices"),
        ([], "is not a JSON object"),
    ],
)
def test_state_that_cannot_be_used(tmp_path: Path, state: Any, words: str) -> None:
    folder = write_saved(tmp_path)
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match=words):
        open_catalogue(folder)


def test_several_splits_are_named(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(InputError, match=r"several splits \(train, test\)"):
        open_catalogue(tmp_path)


def test_files_of_different_columns_and_no_rows(tmp_path: Path) -> None:
    folder = write_saved(tmp_path)
    other = save_to_disk(tmp_path / "other", pa.table({"x": ["a", "b"]}))
    (folder / "data-00001-of-00002.arrow").write_bytes((other / "data-00001-of-00002.arrow").read_bytes())
    with pytest.raises(InputError, match="has other columns"):
        open_catalogue(folder)
    empty = save_to_disk(tmp_path / "empty", pa.table({"x": pa.array([], pa.string())}))
    with pytest.raises(InputError, match="has no rows"):
        open_catalogue(empty)


def test_offsets_that_lead_out_of_the_file(tmp_path: Path) -> None:
    """A damaged batch is refused before a cell of it is taken from memory that is not there."""
    array = pa.array(["aaaa", "bbbb"])
    offsets = pa.array([0, 1 << 30, 8], pa.int32()).buffers()[1]
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, array.buffers()[2]])
    batch = pa.record_batch([broken], names=["text"])
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(InputError, match="cannot be read as Arrow data"):
        open_catalogue(tmp_path / "t.arrow").row(0)["text"]
