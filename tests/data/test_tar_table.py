"""Webdataset shards: samples, long names, and archives that are damaged or hostile."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest
from written import add, products, write_shards, write_tar

from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.check import find_bad_rows
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError

PICTURE = products()[0].picture


def test_captions_in_text_and_what_does_not_belong(tmp_path: Path) -> None:
    samples = [
        {"readme.md": b"hello"},
        {"d/1.2.png": PICTURE, "d/1.seg.png": b"x", "d/1.txt": b"red dress\n", "d/1.json": b'{"price": 5}'},
        {"e/1.png": PICTURE, "e/1.txt": "über".encode()},
        {"f.JPG": PICTURE, "f.json": b'{"caption": "from json", "price": 6}', "f.txt": b"from txt"},
    ]
    table = PairTable(open_catalogue(write_tar(tmp_path / "t.tar", samples)), "caption", "image")
    assert table.catalogue.columns == ("key", "image", "caption", "price")
    assert [table.product_id(i) for i in range(3)] == ["d/1", "e/1", "f"]
    assert list(table.texts()) == ["red dress", "über", "from json"]
    assert [table.cells(i)["price"] for i in range(3)] == ["5", "", "6"]
    assert table.where(2) == f"{tmp_path / 't.tar'}, sample 3"
    assert [bad.position for bad in find_bad_rows(table, progress=False)] == [0]  # `1.2.png` is no picture of `1`


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_kind_of_archive(tmp_path: Path, form: int) -> None:
    long = "x" * 60 + "/" + "y" * (90 if form == tarfile.USTAR_FORMAT else 190)
    samples = [{f"{name}.png": PICTURE, f"{name}.txt": b"text"} for name in ("a", long, "b")]
    table = PairTable(open_catalogue(write_tar(tmp_path / "t.tar", samples, format=form)), "caption", "image")
    for position in (1, 2, 0):
        pair = table.pair(position)
        assert (pair.product_id, pair.text) == (("a", long, "b")[position], "text")
        assert pair.image is not None and pair.image.encoded == PICTURE


def test_a_repeated_part_begins_a_new_sample(tmp_path: Path) -> None:
    samples = [{"a.png": PICTURE, "a.txt": b"one"}, {"a.png": PICTURE, "a.txt": b"two"}]
    assert list(PairTable(open_catalogue(write_tar(tmp_path / "t.tar", samples)), "caption").texts()) == ["one", "two"]


def test_directories_are_passed_over_and_the_index_is_eight_bytes_a_sample(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        folder = tarfile.TarInfo("d")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for number in range(500):
            add(tar, f"d/{number}.txt", b"text")
    catalogue = open_catalogue(tmp_path / "t.tar")
    assert len(catalogue) == 500 and catalogue.index_bytes == 4000


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        info = tarfile.TarInfo("a.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(InputError, match=r"member 'a\.jpg' is no file"):
        open_catalogue(tmp_path / "t.tar")


def test_names_that_lead_elsewhere_are_only_names(tmp_path: Path) -> None:
    samples = [{"../../up.png": PICTURE, "../../up.txt": b"x"}, {"/abs.png": PICTURE, "/abs.txt": b"y"}]
    before = {*tmp_path.parent.rglob("*")}
    table = PairTable(open_catalogue(write_tar(tmp_path / "t.tar", samples)), "caption", "image")
    assert [table.product_id(i) for i in range(2)] == ["../../up", "/abs"]
    assert table.pair(0).image is not None
    assert {*tmp_path.parent.rglob("*")} - before == {tmp_path / "t.tar"}


def test_an_archive_behind_another_is_not_overlooked(tmp_path: Path) -> None:
    content = write_tar(tmp_path / "t.tar", [{"a.txt": b"x"}]).read_bytes()
    (tmp_path / "two.tar").write_bytes(content + content)
    with pytest.raises(InputError, match="goes on after the mark of its end"):
        open_catalogue(tmp_path / "two.tar")


@pytest.mark.parametrize("keep", [0, 100, 700, 1100, 1500, 1536])
def test_a_cut_archive(tmp_path: Path, keep: int) -> None:
    path = write_tar(tmp_path / "t.tar", [{"a.txt": b"x" * 900, "a.json": b"{}"}])
    os.truncate(path, keep)
    with pytest.raises(InputError, match=r"no tar archive|cut off"):
        open_catalogue(path)


def test_archives_without_samples_and_bad_parts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no samples"):
        open_catalogue(write_tar(tmp_path / "t.tar", [{"a.bin": b""}]))
    samples = [{"a.txt": b"\xff", "a.json": b"[1]"}, {"b.txt": b"x", "b.json": json.dumps({"n": 1}).encode()}]
    catalogue = open_catalogue(write_tar(tmp_path / "t.tar", samples))
    with pytest.raises(InputError, match=r"sample 1.* not a JSON object"):
        catalogue.row(0)["n"]
    assert [catalogue.row(1)[column] for column in ("key", "caption", "n")] == ["b", "x", "1"]
    with pytest.raises(InputError, match="'image' holds bytes"):
        catalogue.row(1)["image"]
    assert list(catalogue.values(1, "image")) == [""]


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    write_shards(tmp_path)
    assert len(open_catalogue(tmp_path / "shards" / "{000..001}.tar")) == 7
    with pytest.raises(InputError, match=r"002\.tar cannot be read"):
        open_catalogue(tmp_path / "shards" / "{000..002}.tar")
