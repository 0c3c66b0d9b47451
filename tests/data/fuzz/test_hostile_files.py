"""Damaged and hostile files of each format: every one is read or refused by an InputError, in bounded time.

Each case changes a good catalogue: cut off, bits turned, bytes replaced, moved or repeated, or other types put in its
place. What is left of it is opened, read, checked, described and converted; nothing may be written but the target.
"""

from __future__ import annotations

import io
import json
import logging
import random
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written import PIXELS, WRITERS, products, save_to_disk, write_npz, write_pictures

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.check import find_bad_rows
from easynlp_fashionklip.data.columns import choose_columns
from easynlp_fashionklip.data.convert import FORMATS, convert
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.statistics import statistics_text, table_statistics
from easynlp_fashionklip.errors import InputError

SECONDS_A_CASE = 10.0
MOST_ROWS = 200
QUICK, MANY = 50, 1000


# ---- what is done with a file


@pytest.fixture(autouse=True)
def silent(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of rows are skipped with a word in the log."""
    caplog.set_level(logging.CRITICAL)


def use(path: Path, folder: Path, kind: str) -> None:
    """Everything that a user can do with a catalogue; InputErrors are answers."""
    try:
        catalogue = open_catalogue(path)
        table = PairTable(catalogue, *choose_columns(catalogue, None, None))
    except InputError:
        return
    for row in range(min(len(catalogue), MOST_ROWS)):
        for column in catalogue.columns[:20]:
            read(lambda row=row, column=column: catalogue.row(row)[column])  # type: ignore[misc]
            read(lambda row=row, column=column: catalogue.values(row, column))  # type: ignore[misc]
    if len(table) <= MOST_ROWS:
        for bad in find_bad_rows(table, progress=False, workers=1):
            assert bad.message
        read(lambda: statistics_text(table_statistics(table, progress=False)))
        target = folder / f"copy{ {'parquet': '.parquet', 'tsv': '.tsv'}.get(kind, '') }"
        read(lambda: convert(table, target, kind, on_bad_row="skip", progress=False))


def read(action: Callable[[], Any]) -> None:
    try:
        action()
    except InputError as error:
        assert str(error)


def run_case(write: Callable[[Path], Path], kind: str = "csv") -> None:
    """In a folder of its own: written, used, and looked at for files that should not be there."""
    outside = Path(tempfile.mkdtemp())
    try:
        folder = outside / "in" / "side"
        folder.mkdir(parents=True)
        path = write(folder)
        before = {*outside.rglob("*")}
        started = time.perf_counter()
        use(path, folder, kind)
        assert time.perf_counter() - started < SECONDS_A_CASE
        target = next(folder.glob("copy*"), None)
        new = {*outside.rglob("*")} - before
        assert all(target is not None and (one == target or target in one.parents) for one in new), new
        assert not any(one.is_symlink() for one in new)
    finally:
        shutil.rmtree(outside)


# ---- damage to bytes


CHANGE = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(0)),
    st.tuples(st.just("flip"), st.floats(0, 1), st.integers(0, 7)),
    st.tuples(st.just("set"), st.floats(0, 1), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 10, 34, 92, 123])),
    st.tuples(st.just("remove"), st.floats(0, 1), st.integers(1, 600)),
    st.tuples(st.just("repeat"), st.floats(0, 1), st.integers(1, 600)),
    st.tuples(st.just("noise"), st.floats(0, 1), st.integers(1, 64)),
)


def damaged(content: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    for name, where, amount in changes:
        at = int(where * max(0, len(content) - 1))
        if name == "cut":
            content = content[:at]
        elif name in ("flip", "set") and content:
            byte = content[at] ^ (1 << amount) if name == "flip" else amount
            content = content[:at] + bytes([byte]) + content[at + 1 :]
        elif name == "remove":
            content = content[:at] + content[at + amount :]
        elif name == "repeat":
            content = content[: at + amount] + content[at:]
        elif name == "noise":
            content = content[:at] + random.Random(at).randbytes(amount) + content[at + amount :]
    return content


@pytest.fixture(scope="module", params=[*WRITERS])
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """Format, folder and catalogue of a file to damage."""
    if request.param == "hdf5":
        pytest.importorskip("h5py")
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, WRITERS[request.param](folder)


def tables_of(folder: Path) -> list[Path]:
    """The files of a format that are not single pictures, in order."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and "images" not in path.relative_to(folder).parts
    )


def check_damage(good: tuple[str, Path, Path], examples: int) -> None:
    kind, source, path = good
    files = [one.relative_to(source) for one in tables_of(source)]

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(
        which=st.integers(0, len(files) - 1),
        changes=st.lists(CHANGE, min_size=1, max_size=4),
        to=st.sampled_from(FORMATS),
    )
    def damage(which: int, changes: list[tuple[str, float, int]], to: str) -> None:
        def write(folder: Path) -> Path:
            shutil.copytree(source, folder, dirs_exist_ok=True)
            target = folder / files[which]
            target.write_bytes(damaged(target.read_bytes(), changes))
            return folder / path.relative_to(source)

        run_case(write, to)

    damage()


def test_damaged_files(good: tuple[str, Path, Path]) -> None:
    check_damage(good, QUICK)


@pytest.mark.slow
def test_many_damaged_files(good: tuple[str, Path, Path]) -> None:
    check_damage(good, MANY)


# ---- other types


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


def check_types(kind: str, examples: int) -> None:
    values, write = TYPED[kind]

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(value=values, to=st.sampled_from(FORMATS))
    def types(value: Any, to: str) -> None:
        run_case(lambda folder: write(folder, value), to)

    types()


@pytest.mark.parametrize("kind", [*TYPED])
def test_other_types(kind: str) -> None:
    check_types(kind, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*TYPED])
def test_many_other_types(kind: str) -> None:
    check_types(kind, MANY)


def test_every_format_is_fuzzed() -> None:
    assert set(TYPED) == set(WRITERS) and set(PIXELS) <= set(WRITERS)
