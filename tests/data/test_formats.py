"""Every format gives the same pairs: ids, texts, pictures; in any order, process and thread."""

from __future__ import annotations

import io
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from written import PIXELS, WRITERS, pixels_of, products

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.check import check_pairs
from easynlp_fashionklip.data.columns import choose_columns
from easynlp_fashionklip.data.formats import find_files, format_of, there_is
from easynlp_fashionklip.data.images import open_image, read_bytes
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.texts import open_texts
from easynlp_fashionklip.errors import InputError


@pytest.fixture(scope="module", params=[*WRITERS])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    if request.param == "hdf5":
        pytest.importorskip("h5py")
    return request.param, WRITERS[request.param](tmp_path_factory.mktemp(request.param))


def open_table(path: Path) -> PairTable:
    catalogue = open_catalogue(path)
    return PairTable(catalogue, *choose_columns(catalogue, None, None))


def assert_pair(kind: str, table: PairTable, position: int) -> None:
    pair, product = table.pair(position), products()[position]
    assert (pair.product_id, pair.text) == (product.product_id, product.caption)
    assert pair.image is not None
    if kind in PIXELS:
        assert np.array_equal(np.asarray(open_image(pair.image)), pixels_of(position))
    else:
        assert read_bytes(pair.image) == product.picture


def test_every_pair_in_random_order(written: tuple[str, Path]) -> None:
    kind, path = written
    table = open_table(path)
    assert len(table) == len(products())
    for position in (3, 0, 6, 6, 1, 5, 2, 4):
        assert_pair(kind, table, position)
    with pytest.raises(IndexError):
        table.pair(len(table))
    with pytest.raises(IndexError):
        table.catalogue.row(-1)


def test_labels_and_texts(written: tuple[str, Path]) -> None:
    kind, path = written
    column = "input_category" if kind == "hdf5" else "colour"
    table = open_table(path)
    assert [table.cells(i)[column] for i in range(len(table))] == [one.colour for one in products()]
    texts = open_texts(path, [str(table.text_column)])
    assert [text for _, text in texts.rows()] == [one.caption for one in products()]
    assert all(file.is_file() for file in texts.files)


def test_the_check_passes_and_finds_the_keys(written: tuple[str, Path]) -> None:
    table = open_table(written[1])
    checked = check_pairs(table, progress=False)
    assert checked is table and len(set(checked.product_keys.tolist())) == len(products())


def test_a_pickled_copy_and_a_subset(written: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    kind, path = written
    monkeypatch.chdir(path.parent)
    table = open_table(Path(path.name))
    data = pickle.dumps(table)
    monkeypatch.chdir("/")
    copy = pickle.loads(data)
    assert_pair(kind, copy, 2)
    assert copy.subset([5, 2]).pair(0).product_id == products()[5].product_id


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_reads_for_itself(written: tuple[str, Path]) -> None:
    kind, path = written
    table = open_table(path)
    assert_pair(kind, table, 0)
    child = os.fork()
    if child == 0:
        try:
            for position in (4, 1):
                assert_pair(kind, table, position)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert_pair(kind, table, 6)


def test_threads_read_for_themselves(written: tuple[str, Path]) -> None:
    kind, path = written
    table = open_table(path)
    failures: list[BaseException] = []

    def read(seed: int) -> None:
        try:
            for position in np.random.default_rng(seed).permutation(np.tile(np.arange(len(products())), 5)):
                assert_pair(kind, table, int(position))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_formats_go_by_name_and_folder(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name in ("b.parquet", "a.parquet", "notes.txt"):
        (tmp_path / "parts" / name).touch()
    assert format_of(tmp_path / "parts") == "parquet"
    assert [path.name for path in find_files(tmp_path / "parts")] == ["a.parquet", "b.parquet"]
    assert [path.name for path in find_files(tmp_path / "parts" / "*.parquet")] == ["a.parquet", "b.parquet"]
    assert [path.name for path in find_files(tmp_path / "s-{08..10}.tar")] == ["s-08.tar", "s-09.tar", "s-10.tar"]
    assert format_of(Path("x.PARQUET")) == "parquet" and format_of(Path("x.txt")) == "csv"
    assert there_is(tmp_path / "parts") and not there_is(tmp_path / "gone.csv")
    with pytest.raises(InputError, match="folder without a catalogue"):
        format_of(tmp_path)
    with pytest.raises(InputError, match="one range"):
        find_files(tmp_path / "s-{5..1}.tar")
    with pytest.raises(InputError, match="does not exist"):
        find_files(tmp_path / "*.tar")


def test_pixels_are_lossless() -> None:
    from easynlp_fashionklip.data.pixels import as_png, encode_pixels, is_raw

    raw = encode_pixels(pixels_of(0))
    assert is_raw(raw) and not is_raw(as_png(raw))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(as_png(raw)))), pixels_of(0))
    with pytest.raises(ValueError, match="float"):
        encode_pixels(pixels_of(0).astype(np.float32))
