"""Rows a second of each catalogue reader with one worker, and the memory that reading takes at two sizes.

    python examples/benchmarks/readers.py --rows 10000,1000000 --folder /tmp/readers

For each format and size a catalogue is generated (in a process of its own, so that writing does not count), opened
and read by a fresh process: the ids and texts of all rows in order, then the pairs of 20,000 rows in random order
(texts and references to pictures, those with bytes read, none decoded). Memory is the peak of that process: `RssAnon`,
what it has allocated, without the pages of mapped files, which the system takes back when it needs them and which are
listed beside it. The ratio is the larger size's over the smaller one's. Rates are by the processor time of the reading
thread, with the files in the system's cache, so that other programs on the machine do not count.

Rows have an id, a made-up text of some 60 characters, a label and a picture: a path in CSV, TSV, JSONL and "parquet";
the bytes of an 8 x 8 JPEG (some 640 bytes) in "parquet, bytes", the saved data set and the shards, 8 x 8 pixels in
HDF5. The release has texts alone at a million rows: an .npz of a million pictures would measure Python's zip directory.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

TITLES = ("red dress", "blue slim jeans", "black leather boots", "white cotton shirt", "green wool coat", "grey hat")
RANDOM_ROWS = 20_000
BATCH = 10_000


def picture() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "JPEG")
    return buffer.getvalue()


def text_of(row: int) -> str:
    return f"{TITLES[row % 6]} number {row} with pockets, a collar and long sleeves"


def cells(row: int) -> dict[str, str]:
    return {
        "product_id": f"p{row}",
        "caption": text_of(row),
        "colour": TITLES[row % 6].split()[0],
        "image": f"i/{row}.jpg",
    }


# ---- writing


def write_csv(folder: Path, rows: int) -> Path:
    with (folder / "t.csv").open("w") as file:
        file.write("product_id,caption,colour,image\n")
        file.writelines('{product_id},"{caption}",{colour},{image}\n'.format(**cells(row)) for row in range(rows))
    return folder / "t.csv"


def write_tsv(folder: Path, rows: int) -> Path:
    with (folder / "t.tsv").open("w") as file:
        file.write("product_id\tcaption\tcolour\timage\n")
        file.writelines("\t".join(cells(row).values()) + "\n" for row in range(rows))
    return folder / "t.tsv"


def write_tsv_base64(folder: Path, rows: int) -> Path:
    encoded = base64.urlsafe_b64encode(picture()).decode()
    with (folder / "b.tsv").open("w") as file:
        file.write("product_id\tcaption\tcolour\timage\n")
        file.writelines("\t".join({**cells(row), "image": encoded}.values()) + "\n" for row in range(rows))
    return folder / "b.tsv"


def write_jsonl(folder: Path, rows: int) -> Path:
    with (folder / "t.jsonl").open("w") as file:
        file.writelines(json.dumps(cells(row)) + "\n" for row in range(rows))
    return folder / "t.jsonl"


def tables(rows: int, with_bytes: bool) -> Iterator[object]:
    import pyarrow as pa

    content = picture()
    for start in range(0, rows, BATCH):
        part = [cells(row) for row in range(start, min(start + BATCH, rows))]
        table = pa.Table.from_pylist(part)
        if with_bytes:
            pictures = pa.array([{"bytes": content, "path": None}] * len(part), picture_type())
            table = table.set_column(3, "image", pictures)
        yield table


def picture_type() -> object:
    import pyarrow as pa

    return pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_parquet(folder: Path, rows: int, with_bytes: bool = False) -> Path:
    import pyarrow.parquet as pq

    writer = None
    for table in tables(rows, with_bytes):
        writer = writer or pq.ParquetWriter(folder / "t.parquet", table.schema)
        writer.write_table(table, row_group_size=1000 if with_bytes else None)
    writer.close()
    return folder / "t.parquet"


def write_parquet_bytes(folder: Path, rows: int) -> Path:
    return write_parquet(folder, rows, with_bytes=True)


def write_saved(folder: Path, rows: int) -> Path:
    import pyarrow as pa

    name = "data-00000-of-00001.arrow"
    (folder / "saved").mkdir()
    writer = None
    with pa.OSFile(str(folder / "saved" / name), "wb") as sink:
        for table in tables(rows, with_bytes=True):
            writer = writer or pa.ipc.new_stream(sink, table.schema)
            writer.write_table(table, max_chunksize=1000)
        writer.close()
    (folder / "saved" / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    return folder / "saved"


def write_tar(folder: Path, rows: int) -> Path:
    content = picture()
    (folder / "shards").mkdir()
    for start in range(0, rows, 100_000):
        with tarfile.open(folder / "shards" / f"{start // 100_000:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for row in range(start, min(start + 100_000, rows)):
                for ending, data in (("jpg", content), ("txt", text_of(row).encode())):
                    info = tarfile.TarInfo(f"p{row}.{ending}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
                tar.members = []
    return folder / "shards"


def write_hdf5(folder: Path, rows: int) -> Path:
    import h5py

    with h5py.File(folder / "t.h5", "w") as file:
        images = file.create_dataset("input_image", (rows, 8, 8, 3), "u1", chunks=(100, 8, 8, 3))
        names = {"input_productID": 10, "input_description": 120, "input_category": 10}
        columns = {name: file.create_dataset(name, (rows, 1), f"S{width}") for name, width in names.items()}
        for start in range(0, rows, BATCH):
            part = [cells(row) for row in range(start, min(start + BATCH, rows))]
            images[start : start + len(part)] = 200
            for name, key in zip(columns, ("product_id", "caption", "colour"), strict=True):
                columns[name][start : start + len(part)] = np.array([[one[key].encode()] for one in part])
    return folder / "t.h5"


def write_release(folder: Path, rows: int) -> Path:
    with (folder / "q.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"query_id": row, "query_text": text_of(row), "item_ids": [row]}) + "\n" for row in range(rows)
        )
    return folder / "q.jsonl"


WRITERS: dict[str, Callable[[Path, int], Path]] = {
    "CSV": write_csv,
    "TSV with header": write_tsv,
    "TSV, base64": write_tsv_base64,
    "JSONL": write_jsonl,
    "Parquet, paths": write_parquet,
    "Parquet, bytes": write_parquet_bytes,
    "Hugging Face, saved": write_saved,
    "webdataset": write_tar,
    "HDF5": write_hdf5,
    "release, texts": write_release,
}


# ---- reading, in a process of its own


def memory() -> dict[str, float]:
    """Megabytes of this process: allocated, and of mapped files."""
    found = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(("RssAnon", "RssFile")):
            found[line.split(":")[0]] = int(line.split()[1]) / 1024
    return found


class Peak(threading.Thread):
    """Looks at the memory fifty times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = memory()

    def run(self) -> None:
        """See `threading.Thread.run`."""
        while True:
            now = memory()
            self.most = {name: max(value, now[name]) for name, value in self.most.items()}
            time.sleep(0.02)


def read(path: Path, rows: int, texts_only: bool) -> dict[str, float]:
    from easynlp_fashionklip.data.catalogue import open_catalogue
    from easynlp_fashionklip.data.columns import choose_columns
    from easynlp_fashionklip.data.pairs import PairTable

    if path.suffix == ".h5":
        import h5py  # noqa: F401 - so that the baseline has it, as it has pyarrow
    import pyarrow.parquet  # noqa: F401

    base = memory()["RssAnon"]
    peak = Peak()
    peak.start()
    clock = time.thread_time()
    catalogue = open_catalogue(path)
    text, image = choose_columns(catalogue, None, None)
    table = PairTable(catalogue, text, None if texts_only else image)
    opened, clock = time.thread_time() - clock, time.thread_time()
    for position in range(len(table)):
        cells = table.cells(position)
        if not table.text_of(cells) or not table.product_id_of(position, cells):
            raise ValueError(f"row {position} is empty")
    in_order, clock = time.thread_time() - clock, time.thread_time()
    count = min(rows, RANDOM_ROWS)
    for position in random.Random(0).sample(range(rows), count):
        table.pair(position)
    at_random = time.thread_time() - clock
    most = peak.most
    return {
        "open_s": opened,
        "in_order": rows / in_order,
        "at_random": count / at_random,
        "base_mb": base,
        "peak_mb": most["RssAnon"],
        "mapped_mb": most["RssFile"],
        "index_mb": catalogue.index_bytes / 2**20,
    }


def measure(name: str, rows: int, folder: Path) -> dict[str, float]:
    folder.mkdir(parents=True)
    own = [sys.executable, str(Path(__file__).resolve())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    path = subprocess.run(
        [*own, "--write", name, "--rows", str(rows), "--folder", str(folder)],
        check=True, capture_output=True, text=True, env=environment,
    ).stdout.strip()  # fmt: skip
    done = subprocess.run(
        [*own, "--read", path, "--rows", str(rows), *(["--texts"] if name.startswith("release") else [])],
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(names: list[str], sizes: list[int], folder: Path) -> None:
    import shutil

    print(
        "| reader | rows | open, s | rows/s, in order | pairs/s, at random | peak, MB | index, MB | mapped, MB |ratio|"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        first = None
        for rows in sizes:
            try:
                found = measure(name, rows, folder / "work")
            finally:
                shutil.rmtree(folder / "work", ignore_errors=True)
            first = first or found["peak_mb"]
            print(
                f"| {name} | {rows:,} | {found['open_s']:.1f} | {found['in_order']:,.0f} | {found['at_random']:,.0f} | "
                f"{found['peak_mb']:.0f} | {found['index_mb']:.1f} | {found['mapped_mb']:.0f} | "
                f"{found['peak_mb'] / first:.2f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="10000,1000000")
    parser.add_argument("--formats", default=",".join(WRITERS).replace(", ", ";"), help="names, ';' for ', '")
    parser.add_argument("--folder", type=Path, default=Path("out/readers"))
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--texts", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.rows.split(",")]
    if arguments.write:
        print(WRITERS[arguments.write](arguments.folder, sizes[0]))
    elif arguments.read:
        print(json.dumps(read(arguments.read, sizes[0], arguments.texts)))
    else:
        compare([name.replace(";", ", ") for name in arguments.formats.split(",")], sizes, arguments.folder)


if __name__ == "__main__":
    main()
