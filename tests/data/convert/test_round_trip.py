"""A catalogue converted, and read again: ids, texts and the pictures' bytes are what they were."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.columns import choose_columns
from easynlp_fashionklip.data.convert import FORMATS, Conversion, convert, target_format
from easynlp_fashionklip.data.convert import writers as writers_module
from easynlp_fashionklip.data.images import read_bytes
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError

# Ids, captions and labels that could be taken for paths, marks or ends of lines.
ROWS = [
    ("../../etc/passwd", "red dress", "a,b"),
    ("/abs/olute", 'two\nlines and a "mark"', "tab\there"),
    ("C:\\x", "白色 连衣裙 ñ 👗", ""),
    ("a/b/c.jpg", "carriage\rreturn", "x"),
    ("a/b/c.jpg", "carriage\rreturn", "x"),
]
SUFFIX = {"parquet": ".parquet", "tsv": ".tsv"}


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, ("PNG", "JPEG", "WEBP", "BMP", "GIF")[number])
    return buffer.getvalue()


@pytest.fixture
def source(tmp_path: Path) -> PairTable:
    lines = []
    for number, (product_id, caption, label) in enumerate(ROWS):
        (tmp_path / f"{number}.bin").write_bytes(picture(number))
        row = {"product_id": product_id, "title": caption, "picture": f"{number}.bin", "image": label}
        lines.append(json.dumps(row))
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    return PairTable(open_catalogue(tmp_path / "s.jsonl"), "title", "picture")


def again(path: Path, done: Conversion) -> PairTable:
    if path.is_dir():
        path = next(iter([*path.glob("catalogue.*"), path]))
    catalogue = open_catalogue(path, input_schema=done.input_schema or None)
    return PairTable(catalogue, "caption", "image")


@pytest.mark.parametrize("kind", FORMATS)
def test_ids_texts_labels_and_bytes(source: PairTable, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out" / f"copy{SUFFIX.get(kind, '')}"
    done = convert(source, target, kind, progress=False)
    assert (done.pairs, done.skipped) == (5, 0)
    table = again(target, done)
    assert len(table) == 5
    for position, (product_id, caption, label) in enumerate(ROWS):
        pair, cells = table.pair(position), table.cells(position)
        if kind == "tsv":  # which cannot hold them
            caption, label = " ".join(caption.split()), " ".join(label.split())
        assert (pair.product_id, pair.text, cells["image_"]) == (product_id, caption, label)
        assert pair.image is not None and read_bytes(pair.image) == picture(position)
    assert done.altered == (4 if kind == "tsv" else 0)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [target.name]
    assert {path for path in tmp_path.rglob("*") if path.is_file() and "out" not in path.parts} == {
        tmp_path / "s.jsonl",
        *(tmp_path / f"{number}.bin" for number in range(5)),
    }


@pytest.mark.parametrize("kind", FORMATS)
def test_a_second_conversion_changes_nothing(source: PairTable, tmp_path: Path, kind: str) -> None:
    first = tmp_path / f"first{SUFFIX.get(kind, '')}"
    done = convert(source, first, kind, progress=False)
    second = tmp_path / f"second{SUFFIX.get(kind, '')}"
    convert(again(first, done), second, kind, progress=False)
    for path in [first, *first.rglob("*")]:
        if path.is_file() and kind != "parquet":
            other = second / path.relative_to(first) if path != first else second
            content = path.read_bytes().replace(b"image_", b"")
            assert content == other.read_bytes().replace(b"image_", b""), path


def test_captions_share_their_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(0))
    (tmp_path / "s.jsonl").write_text('{"caption": ["x", "y"], "image": ["a.png", "a.png"]}\n')
    table = PairTable(open_catalogue(tmp_path / "s.jsonl"), "caption", "image")
    convert(table, tmp_path / "out", "csv", progress=False)
    lines = (tmp_path / "out" / "catalogue.csv").read_text().splitlines()
    assert lines == [
        "product_id,caption,image",
        "0,x,images/00000/00000000.png",
        "0,y,images/00000/00000000.png",
        "0,x,images/00000/00000001.png",
        "0,y,images/00000/00000001.png",
    ]


def test_pixels_become_png(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    from written import pixels_of, write_hdf5

    catalogue = open_catalogue(write_hdf5(tmp_path))
    convert(
        PairTable(catalogue, *choose_columns(catalogue, None, None)), tmp_path / "out", "webdataset", progress=False
    )
    image = PairTable(open_catalogue(tmp_path / "out"), "caption", "image").pair(3).image
    assert image is not None
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(read_bytes(image)))), pixels_of(3))


def test_texts_alone(source: PairTable, tmp_path: Path) -> None:
    texts = PairTable(source.catalogue, "title")
    convert(texts, tmp_path / "t.parquet", "parquet", progress=False)
    assert open_catalogue(tmp_path / "t.parquet").columns == ("product_id", "caption", "picture", "image_")


def test_small_groups_and_shards(source: PairTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers_module, "GROUP_ROWS", 2)
    monkeypatch.setattr(writers_module, "SHARD_SAMPLES", 5)
    convert(source, tmp_path / "t.parquet", "parquet", progress=False)
    assert pq.ParquetFile(tmp_path / "t.parquet").num_row_groups == 3
    convert(source, tmp_path / "five", "webdataset", progress=False)
    assert [path.name for path in (tmp_path / "five").iterdir()] == ["00000.tar"]
    monkeypatch.setattr(writers_module, "SHARD_SAMPLES", 2)
    convert(source, tmp_path / "three", "webdataset", progress=False)
    assert sorted(path.name for path in (tmp_path / "three").iterdir()) == ["00000.tar", "00001.tar", "00002.tar"]
    with tarfile.open(tmp_path / "three" / "00001.tar") as tar:
        assert tar.getnames()[:3] == ["000000002.webp", "000000002.txt", "000000002.json"]


def test_bad_rows_stop_or_are_left_out(source: PairTable, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "1.bin").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"s\.jsonl, line 2.*not a picture"):
        convert(source, tmp_path / "out", "csv", progress=False)
    assert not (tmp_path / "out").exists() and not [*tmp_path.glob(".*")]
    done = convert(source, tmp_path / "out", "csv", on_bad_row="skip", progress=False)
    assert (done.pairs, done.skipped) == (4, 1) and "skipped: " in caplog.text
    for number in range(5):
        (tmp_path / f"{number}.bin").write_bytes(b"")
    with pytest.raises(InputError, match="no row that can be read"):
        convert(source, tmp_path / "other", "jsonl", on_bad_row="skip", progress=False)
    assert not (tmp_path / "other").exists()


def test_what_is_there_is_not_replaced(source: PairTable, tmp_path: Path) -> None:
    for name, kind in (("t.parquet", "parquet"), ("folder", "csv")):
        convert(source, tmp_path / name, kind, progress=False)
        with pytest.raises(InputError, match="exists; remove it"):
            convert(source, tmp_path / name, kind, progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        convert(source, tmp_path / "file" / "t.tsv", "tsv", progress=False)


@pytest.mark.parametrize(
    ("target", "asked", "words"),
    [
        ("out", None, "does not say which format"),
        ("t.tsv", "parquet", r"end in \.parquet"),
        ("t.csv", "csv", "the name of a folder"),
        ("t.tar", "webdataset", "the name of a folder"),
        ("t.csv", None, "does not say which format"),
    ],
)
def test_targets_that_do_not_fit(target: str, asked: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        target_format(Path(target), asked)


def test_the_format_goes_by_the_ending() -> None:
    assert target_format(Path("a.parquet"), None) == "parquet"
    assert target_format(Path("a.tsv"), None) == "tsv"
    assert target_format(Path("a"), "webdataset") == "webdataset"
