"""The same small catalogue in every format that is read."""

from __future__ import annotations

import base64
import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIDE = 12


@dataclass(frozen=True)
class Product:
    """A product's id, caption and the bytes of its picture file."""

    product_id: str
    caption: str
    picture: bytes
    colour: str


@lru_cache
def pixels_of(number: int) -> np.ndarray:
    """uint8 12 x 12 x 3, another for each number."""
    array: np.ndarray = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return array


@lru_cache
def products(count: int = 7) -> tuple[Product, ...]:
    """Products with captions of other alphabets, quotation marks and commas; one picture is a JPEG."""
    captions = ("red dress", "blauer Rock, knielang", 'a 3" heel', "白色连衣裙", "vestido rojo ñ", "green top", "hat")
    found = []
    for number in range(count):
        buffer = io.BytesIO()
        Image.fromarray(pixels_of(number)).save(buffer, "JPEG" if number == 1 else "PNG")
        colour = ("red", "blue", "green")[number % 3]
        found.append(Product(f"p/{number}", captions[number % 7], buffer.getvalue(), colour))
    return tuple(found)


def ending(product: Product) -> str:
    return "png" if product.picture.startswith(b"\x89PNG") else "jpg"


def write_pictures(folder: Path) -> list[str]:
    """The pictures as files; their paths within the folder."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = [f"images/{number}.{ending(product)}" for number, product in enumerate(products())]
    for name, product in zip(names, products(), strict=True):
        (folder / name).write_bytes(product.picture)
    return names


def rows(folder: Path) -> list[dict[str, str]]:
    """Cells of the formats that keep paths."""
    names = write_pictures(folder)
    return [
        {"product_id": one.product_id, "image": name, "caption": one.caption, "colour": one.colour}
        for one, name in zip(products(), names, strict=True)
    ]


def write_csv(folder: Path) -> Path:
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["product_id", "image", "caption", "colour"])
        writer.writeheader()
        writer.writerows(rows(folder))
    return folder / "table.csv"


def write_tsv(folder: Path) -> Path:
    """With a header and base64."""
    lines = ["product_id\timage\tcaption\tcolour"]
    for one in products():
        lines.append(f"{one.product_id}\t{base64.urlsafe_b64encode(one.picture).decode()}\t{one.caption}\t{one.colour}")
    (folder / "table.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "table.tsv"


def write_jsonl(folder: Path) -> Path:
    lines = [json.dumps(row, ensure_ascii=number % 2 == 0) for number, row in enumerate(rows(folder))]
    (folder / "table.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "table.jsonl"


def columns() -> dict[str, list[Any]]:
    return {
        "product_id": [one.product_id for one in products()],
        "caption": [one.caption for one in products()],
        "image": [{"bytes": one.picture, "path": f"{n}.{ending(one)}"} for n, one in enumerate(products())],
        "colour": [one.colour for one in products()],
    }


def write_parquet(folder: Path) -> Path:
    """Pictures as Hugging Face's struct, small row groups."""
    pq.write_table(pa.table(columns()), folder / "table.parquet", row_group_size=3)
    return folder / "table.parquet"


def save_to_disk(folder: Path, table: pa.Table, features: Mapping[str, Any] = {}, files: int = 2) -> Path:
    """The folder that `datasets.Dataset.save_to_disk` leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data-{number:05d}-of-{files:05d}.arrow" for number in range(files)]
    step = -(-len(table) // files)
    for number, name in enumerate(names):
        part = table.slice(number * step, step)
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(part, max_chunksize=2)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


def write_saved(folder: Path) -> Path:
    """A data set on disk whose colours are class labels."""
    names = ["red", "blue", "green"]
    table = pa.table({**columns(), "colour": pa.array([names.index(one.colour) for one in products()])})
    return save_to_disk(folder / "saved", table, {"colour": {"names": names, "_type": "ClassLabel"}})


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def write_tar(path: Path, samples: Iterable[Mapping[str, bytes]], **options: Any) -> Path:
    """A shard of samples (member name to content)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for sample in samples:
            for name, content in sample.items():
                add(tar, name, content)
    return path


def write_shards(folder: Path) -> Path:
    """Two shards, captions in .json."""
    samples = []
    for number, one in enumerate(products()):
        fields = {"product_id": one.product_id, "caption": one.caption, "colour": one.colour}
        samples.append({f"a/{number}.{ending(one)}": one.picture, f"a/{number}.json": json.dumps(fields).encode()})
    write_tar(folder / "shards" / "000.tar", samples[:4])
    write_tar(folder / "shards" / "001.tar", samples[4:])
    return folder / "shards"


def write_hdf5(folder: Path) -> Path:
    """FashionGen's layout."""
    import h5py

    with h5py.File(folder / "table.h5", "w") as file:
        file["input_image"] = np.stack([pixels_of(number) for number in range(len(products()))])
        for column, cells in (
            ("input_productID", [one.product_id for one in products()]),
            ("input_description", [one.caption for one in products()]),
            ("input_category", [one.colour for one in products()]),
        ):
            file[column] = np.array([[cell.encode("utf-8")] for cell in cells], dtype="S60")
    return folder / "table.h5"


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    return path


def write_release(folder: Path) -> Path:
    """A query for each caption, its picture under the item's id, as pixels."""
    lines = [
        {"query_id": number, "query_text": one.caption, "item_ids": [one.product_id], "colour": one.colour}
        for number, one in enumerate(products())
    ]
    (folder / "train_queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    write_npz(folder / "images.npz", {one.product_id: pixels_of(number) for number, one in enumerate(products())})
    return folder / "train_queries.jsonl"


WRITERS: dict[str, Callable[[Path], Path]] = {
    "csv": write_csv,
    "tsv": write_tsv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
    "saved": write_saved,
    "tar": write_shards,
    "hdf5": write_hdf5,
    "release": write_release,
}
PIXELS = ("hdf5", "release")
"""Formats that keep pixels, not files."""
