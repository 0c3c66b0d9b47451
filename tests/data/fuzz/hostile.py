"""Catalogues of every format whose cells, columns or members are of other types than they should be."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st
from written import products, save_to_disk, write_npz, write_pictures

NAME = st.sampled_from(
    ["caption", "image", "product_id", "id", "text", "x", "", "a\nb", "key", "item_ids", "query_text"]
)
TEXT = st.one_of(
    st.text(max_size=8), st.sampled_from(["../../x", "/etc/passwd", "a\0b", "\ud800", "s3://a/b", "a.jpg"])
)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT)
JSON = st.recursive(
    PLAIN, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAME, inner, max_size=3)), max_leaves=6
)
ARROW = st.sampled_from(
    [
        pa.int64(),
        pa.uint8(),
        pa.float16(),
        pa.float64(),
        pa.bool_(),
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.large_binary(),
        pa.binary(3),
        pa.null(),
        pa.date32(),
        pa.timestamp("ns"),
        pa.timestamp("us", "Europe/Berlin"),
        pa.duration("ms"),
        pa.decimal128(10, 2),
        pa.dictionary(pa.int32(), pa.string()),
        pa.list_(pa.string()),
        pa.list_(pa.binary()),
        pa.list_(pa.int8(), 2),
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        pa.struct([("bytes", pa.string()), ("path", pa.int32())]),
        pa.list_(pa.struct([("bytes", pa.binary())])),
        pa.map_(pa.string(), pa.int32()),
        pa.struct([]),
    ]
)


def arrow_array(kind: pa.DataType, numbers: list[int]) -> pa.Array:
    """Values of a type, made of numbers; 0 is none."""
    candidates: tuple[Callable[[int], Any], ...] = (
        lambda number: number,
        lambda number: str(number),
        lambda number: str(number).encode(),
        lambda number: b"%03d" % (number % 1000),
        lambda number: [],
        lambda number: ["a", str(number)],
        lambda number: [b"a", products()[number % 7].picture],
        lambda number: [1, 2],
        lambda number: {"bytes": products()[number % 7].picture, "path": "../x"},
        lambda number: {"bytes": "x", "path": number},
        lambda number: [{"bytes": b"x"}],
        lambda number: [("a", number)],
        lambda number: bool(number % 2),
        lambda number: {},
    )
    for make in candidates:
        try:
            return pa.array([None if number == 0 else make(number) for number in numbers], kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError):
            continue
    return pa.nulls(len(numbers), kind)


TABLE = st.lists(st.tuples(NAME, ARROW, st.lists(st.integers(0, 120), min_size=4, max_size=4)), min_size=0, max_size=4)


def arrow_table(columns: list[tuple[str, pa.DataType, list[int]]]) -> pa.Table:
    arrays = [arrow_array(kind, numbers) for _, kind, numbers in columns]
    return pa.Table.from_arrays(arrays, [name for name, _, _ in columns])


def write_typed_parquet(folder: Path, columns: Any) -> Path:
    try:
        pq.write_table(arrow_table(columns), folder / "t.parquet", row_group_size=2)
    except (pa.ArrowException, NotImplementedError):  # what Parquet has no type for
        pq.write_table(pa.table({"id": [1]}), folder / "t.parquet")
    return folder / "t.parquet"


def write_typed_saved(folder: Path, columns: Any) -> Path:
    return save_to_disk(folder / "saved", arrow_table(columns))


MEMBER_NAMES = ("a.jpg", "a.txt", "a.json", "b.png", "../../up.jpg", "/abs.txt", "d/", "a", ".", "", "x" * 150, "é.txt")
MEMBER_KINDS = (
    *[tarfile.REGTYPE] * 5,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.DIRTYPE,
    tarfile.CHRTYPE,
    tarfile.GNUTYPE_SPARSE,
    tarfile.XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    b"Z",
)
CONTENTS = (b"", b"text", b"\xff\xfe", b'{"caption": ["a", "b"]}', b"[1, 2]", b"30 path=../x\n", b"9" * 30)
MEMBER = st.tuples(
    st.sampled_from(MEMBER_NAMES),
    st.sampled_from(MEMBER_KINDS),
    st.sampled_from(CONTENTS),
    st.sampled_from([0, 0, 0, 0, 1, -1, 1 << 40]),
)


def write_members(folder: Path, members: list[tuple[str, bytes, bytes, int]]) -> Path:
    """An archive whose headers may lie about the size."""
    buffer = io.BytesIO()
    for name, kind, content, lie in members:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, max(0, len(content) + lie), "/etc/passwd"
        try:
            buffer.write(info.tobuf(tarfile.GNU_FORMAT))
        except ValueError:
            continue
        buffer.write(content + bytes(-len(content) % 512))
    (folder / "t.tar").write_bytes(buffer.getvalue() + bytes(1024))
    return folder / "t.tar"


def write_objects(folder: Path, objects: list[Any]) -> Path:
    write_pictures(folder)
    lines = [json.dumps(one, ensure_ascii=True) for one in objects]
    (folder / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder / "t.jsonl"


def write_cells(folder: Path, rows: list[list[str]], suffix: str, mark: str) -> Path:
    text = "\n".join(mark.join(row) for row in [["id", "image", "caption"], *rows])
    (folder / f"t{suffix}").write_bytes(text.encode("utf-8", "surrogatepass"))
    return folder / f"t{suffix}"


DTYPE = st.sampled_from(["u1", "i8", "f4", "S5", "O", "?", "c16", "V7", "M8[s]", "U3"])
SHAPE = st.sampled_from([(), (0,), (4,), (4, 1), (4, 2), (4, 3, 2, 3), (4, 0, 5, 3), (4, 9, 9, 3), (4, 9, 9, 4), (3,)])


def write_sets(folder: Path, sets: list[tuple[str, str, tuple[int, ...]]]) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "t.h5", "w") as file:
        for name, dtype, shape in sets:
            try:
                kind = h5py.string_dtype() if dtype == "O" else np.dtype(dtype)
                file.create_dataset(
                    name.strip("\n") or "x", data=np.zeros(shape, dtype if dtype != "O" else "S1"), dtype=kind
                )
            except (TypeError, ValueError, OSError):
                continue
    return folder / "t.h5"


def write_arrays(folder: Path, arrays: list[tuple[str, tuple[int, ...]]]) -> Path:
    found = {}
    for number, (dtype, shape) in enumerate(arrays):
        found[str(number)] = np.zeros(shape, dtype)
    write_npz(folder / "a.npz", found)
    lines = [json.dumps({"query_id": n, "query_text": "x", "item_ids": [n, n + 1]}) for n in range(len(arrays))]
    (folder / "t.jsonl").write_text("\n".join(lines))
    return folder / "t.jsonl"


TYPED: dict[str, tuple[st.SearchStrategy[Any], Callable[[Path, Any], Path]]] = {
    "csv": (st.lists(st.lists(TEXT, max_size=4), max_size=4), lambda f, rows: write_cells(f, rows, ".csv", ",")),
    "tsv": (st.lists(st.lists(TEXT, max_size=4), max_size=4), lambda f, rows: write_cells(f, rows, ".tsv", "\t")),
    "jsonl": (st.lists(st.one_of(st.dictionaries(NAME, JSON, max_size=4), JSON), max_size=4), write_objects),
    "parquet": (TABLE, write_typed_parquet),
    "saved": (TABLE, write_typed_saved),
    "tar": (st.lists(MEMBER, max_size=6), write_members),
    "hdf5": (st.lists(st.tuples(NAME, DTYPE, SHAPE), max_size=4), write_sets),
    "release": (st.lists(st.tuples(DTYPE, SHAPE), max_size=4), write_arrays),
}
