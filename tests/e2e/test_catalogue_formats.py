"""Training, evaluation, prediction and graph building from catalogues of every format."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from easynlp_fashionklip.graph import ConceptGraph

Run = Callable[..., Any]


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def converted(catalogue: Path, tmp_path_factory: pytest.TempPathFactory, fashionklip_here: Run) -> Callable[..., Path]:
    """The catalogue's train.csv or valid.csv in another format."""
    folder = tmp_path_factory.mktemp("converted")

    def convert(split: str, kind: str) -> Path:
        target = folder / f"{split}-{kind}{ {'parquet': '.parquet', 'tsv': '.tsv'}.get(kind, '') }"
        if not target.exists():
            assert fashionklip_here(["data", "convert", str(catalogue / split), str(target), "--to", kind]).code == 0
        return target / f"catalogue.{kind}" if kind in ("csv", "jsonl") else target

    return convert


def save_to_disk(catalogue: Path, folder: Path) -> Path:
    """valid.csv in the layout of Hugging Face's `save_to_disk`."""
    rows = cells(catalogue / "valid.csv")
    table = pa.table(
        {
            "product_id": [row["product_id"] for row in rows],
            "caption": [row["caption"] for row in rows],
            "image": [{"bytes": (catalogue / row["image"]).read_bytes(), "path": None} for row in rows],
        }
    )
    folder.mkdir()
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as to,
    ):
        to.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    return folder


def save_release(catalogue: Path, folder: Path) -> Path:
    """valid.csv as the release's JSONL with pictures in an .npz."""
    folder.mkdir()
    rows = cells(catalogue / "valid.csv")
    lines = [{"query_id": n, "query_text": row["caption"], "item_ids": [n]} for n, row in enumerate(rows)]
    (folder / "valid_queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pixels = {str(n): np.asarray(Image.open(catalogue / row["image"]).convert("RGB")) for n, row in enumerate(rows)}
    np.savez(folder / "valid_images.npz", **pixels)  # type: ignore[arg-type]
    return folder / "valid_queries.jsonl"


def save_hdf5(catalogue: Path, path: Path) -> Path:
    """valid.csv in FashionGen's layout."""
    h5py = pytest.importorskip("h5py")
    rows = cells(catalogue / "valid.csv")
    with h5py.File(path, "w") as file:
        file["input_image"] = np.stack(
            [np.asarray(Image.open(catalogue / row["image"]).convert("RGB")) for row in rows]
        )
        file["input_description"] = np.array([[row["caption"].encode()] for row in rows])
        file["input_productID"] = np.array([[row["product_id"].encode()] for row in rows])
    return path


COLUMNS = {
    "release": ("--first_sequence=query_text", "--second_sequence=item_ids"),
    "hdf5": ("--first_sequence=input_description", "--second_sequence=input_image"),
    "tsv": ("--input_schema=product_id:str:1,caption:str:1,image:str:1",),
}


@pytest.fixture(scope="module")
def expected(
    catalogue: Path, trained: Path, easynlp_here: Run, arguments: Run, tmp_path_factory: Any
) -> dict[str, Any]:
    return scores(catalogue / "valid.csv", "csv", trained, tmp_path_factory.mktemp("csv"), easynlp_here, arguments)


def scores(table: Path, kind: str, trained: Path, out: Path, easynlp: Run, arguments: Run) -> dict[str, Any]:
    flags = (f"--checkpoint_dir={trained}", f"--outputs={out / 'scores.json'}", "--data_threads=0")
    outcome = easynlp(arguments("evaluate", table, *flags, *COLUMNS.get(kind, ()), parameters="precision=fp32"))
    assert outcome.code == 0, outcome.err
    found = json.loads((out / "scores.json").read_text())
    return {name: value for name, value in found.items() if "R@" in name or name == "mean_recall"}


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "tsv", "webdataset", "saved", "release", "hdf5"])
def test_evaluation_gives_the_scores_of_the_csv(
    kind: str,
    catalogue: Path,
    converted: Run,
    expected: dict[str, Any],
    trained: Path,
    tmp_path: Path,
    easynlp_here: Run,
    arguments: Run,
) -> None:
    if kind == "saved":
        table = save_to_disk(catalogue, tmp_path / "saved")
    elif kind == "release":
        table = save_release(catalogue, tmp_path / "release")
    elif kind == "hdf5":
        table = save_hdf5(catalogue, tmp_path / "valid.h5")
    else:
        table = converted("valid.csv", kind)
    assert scores(table, kind, trained, tmp_path, easynlp_here, arguments) == expected


def test_training_from_shards_with_workers(converted: Run, tmp_path: Path, easynlp_here: Run, arguments: Run) -> None:
    """Graph, training and validation read two formats; worker processes read the shards."""
    tables = f"{converted('train.csv', 'webdataset')},{converted('valid.csv', 'parquet')}"
    numbers = ("--epoch_num=1", "--micro_batch_size=8", "--data_threads=1", "--learning_rate=1e-3")
    outcome = easynlp_here(arguments("train", tables, f"--checkpoint_dir={tmp_path / 'out'}", *numbers))
    assert outcome.code == 0, outcome.err
    assert ConceptGraph.load(tmp_path / "out" / "graph").find("dress") is not None


def test_a_graph_from_parquet_equals_that_from_csv(
    catalogue: Path, converted: Run, tmp_path: Path, fashionklip_here: Run
) -> None:
    flags = ["--text", "caption", "--image", "image", "--model", "tiny", "--set", "min_frequency=1 data_workers=0"]
    for name, table in (("csv", catalogue / "train.csv"), ("parquet", converted("train.csv", "parquet"))):
        out = str(tmp_path / name)
        outcome = fashionklip_here(["graph", "build", "--catalog", str(table), *flags, "--out", out])
        assert outcome.code == 0, outcome.err
    for name in ("concepts.parquet", "prototypes.parquet", "mentions.parquet"):
        assert (tmp_path / "csv" / name).read_bytes() == (tmp_path / "parquet" / name).read_bytes()


def test_prediction_with_pictures_elsewhere(
    catalogue: Path, trained: Path, tmp_path: Path, easynlp_here: Run, arguments: Run
) -> None:
    """A table far from its pictures, whose paths are made of ids."""
    lines = [json.dumps({"product_id": row["product_id"]}) for row in cells(catalogue / "valid.csv")]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    flags = [f"--checkpoint_dir={trained}", f"--outputs={tmp_path / 'p.npz'}", "--append_cols=product_id"]
    flags += ["--first_sequence=product_id", "--second_sequence={product_id}.png", "--data_threads=0"]
    outcome = easynlp_here(
        arguments("predict", tmp_path / "t.jsonl", *flags, parameters=f"image_root={catalogue / 'images'}")
    )
    assert outcome.code == 0, outcome.err
    with np.load(tmp_path / "p.npz") as arrays:
        assert arrays["image_feat"].shape[0] == len(lines)
