"""Damaged and hostile files of each format: every one is read or refused by an InputError, in bounded time.

Each case changes a good catalogue: cut off, bits turned, bytes replaced, moved or repeated, or other types put in its
place. What is left of it is opened, read, checked, described and converted; nothing may be written but the target.
"""

from __future__ import annotations

import logging
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile import TYPED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written import PIXELS, WRITERS

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
