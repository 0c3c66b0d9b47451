"""Archives unpack into one folder or not at all."""

from __future__ import annotations

import gzip
import io
import os
import resource
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.zoo.unpacking import BadArchive, unpack

GOOD = {"model/config.json": b"{}", "model/sub/weights.pt": b"w" * 5000}


def entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode = kind, size, link, 0o4777
    return info


def archive(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            tar.addfile(entry(name, size=len(content)), io.BytesIO(content))
        for info in others:
            tar.addfile(info)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("prefix", ["model/", "./model/", "", "other/"])
def test_a_folder_in_the_archive_becomes_the_target(tmp_path: Path, prefix: str) -> None:
    files = {name.replace("model/", prefix): content for name, content in GOOD.items()}
    unpack(archive(tmp_path / "a.tgz", files), tmp_path / "model")
    assert tree(tmp_path / "model") == {"config.json": b"{}", "sub/weights.pt": b"w" * 5000}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "model"]
    assert not (tmp_path / "model" / "config.json").stat().st_mode & 0o7111


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (entry("../outside.pt"), "leads out of the folder"),
        (entry("model/../../outside.pt"), "leads out of the folder"),
        (entry("/tmp/outside.pt"), "absolute path"),
        (entry("C:/outside.pt"), "absolute path"),
        (entry("model\\..\\outside.pt"), "absolute path"),
        (entry("model/link", tarfile.SYMTYPE, link="/etc/passwd"), "is a link"),
        (entry("model/link", tarfile.SYMTYPE, link="config.json"), "is a link"),
        (entry("model/link", tarfile.LNKTYPE, link="model/config.json"), "is a link"),
        (entry("model/null", tarfile.CHRTYPE), "neither a file nor a folder"),
        (entry("model/disk", tarfile.BLKTYPE), "neither a file nor a folder"),
        (entry("model/pipe", tarfile.FIFOTYPE), "neither a file nor a folder"),
        (entry("model/new\nline"), "no proper name"),
        (entry("model/config.json"), "holds a file twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value.name),
)
def test_hostile_archives_are_refused_and_nothing_is_written(tmp_path: Path, bad: tarfile.TarInfo, words: str) -> None:
    inside = tmp_path / "zoo"
    inside.mkdir()
    path = archive(inside / "a.tgz", GOOD, bad)
    with pytest.raises(BadArchive, match=words):
        unpack(path, inside / "model")
    assert [one.name for one in inside.iterdir()] == ["a.tgz"]
    assert [one.name for one in tmp_path.iterdir()] == ["zoo"]


def test_a_file_where_a_folder_has_to_be_is_told(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tgz", {"model/x": b"1", "model/x/y.pt": b"2"})
    with pytest.raises(InputError, match="model cannot be written"):
        unpack(path, tmp_path / "model")
    assert [one.name for one in tmp_path.iterdir()] == ["a.tgz"]


def test_an_archive_without_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="holds no file of weights"):
        unpack(archive(tmp_path / "a.tgz", {"model/readme.md": b"x"}), tmp_path / "model")


def test_a_name_that_is_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").touch()
    with pytest.raises(InputError, match="model exists"):
        unpack(archive(tmp_path / "a.tgz", GOOD), tmp_path / "model")


def test_a_flipped_bit_is_noticed_without_a_sum(tmp_path: Path) -> None:
    """The checksum at the end of gzip is read, even behind the end of the tar."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in GOOD.items():
            tar.addfile(entry(name, size=len(content)), io.BytesIO(content))
    packed = bytearray(gzip.compress(plain.getvalue()))
    packed[-6] ^= 1
    (tmp_path / "a.tgz").write_bytes(packed)
    with pytest.raises(BadArchive, match="is damaged"):
        unpack(tmp_path / "a.tgz", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_disk_that_fills_leaves_nothing(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tgz", GOOD)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(InputError, match="model cannot be written: the file grew too large"):
            unpack(path, tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [one.name for one in tmp_path.iterdir()] == ["a.tgz"]


def test_too_little_space_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.tgz", GOOD)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(InputError, match="unpacking a.tgz needs"):
        unpack(path, tmp_path / "model")


def plain_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in GOOD.items():
            tar.addfile(entry(name, size=len(content)), io.BytesIO(content))
    return buffer.getvalue()


TAR = plain_tar()


FLIPS = st.lists(st.tuples(st.integers(0, len(TAR) - 1), st.integers(0, 255)), max_size=5)
HEALTH = [HealthCheck.function_scoped_fixture]


@given(flips=FLIPS, keep=st.integers(0, len(TAR)), outside=st.booleans())
@settings(max_examples=150, derandomize=True, database=None, deadline=None, suppress_health_check=HEALTH)
def test_damage_never_writes_outside(tmp_path: Path, flips: list[tuple[int, int]], keep: int, outside: bool) -> None:
    unpack_damaged(tmp_path, flips, keep, outside)


@pytest.mark.slow
@given(flips=FLIPS, keep=st.integers(0, len(TAR)), outside=st.booleans())
@settings(max_examples=1000, derandomize=True, database=None, deadline=None, suppress_health_check=HEALTH)
def test_a_thousand_damaged_archives(tmp_path: Path, flips: list[tuple[int, int]], keep: int, outside: bool) -> None:
    unpack_damaged(tmp_path, flips, keep, outside)


def unpack_damaged(tmp_path: Path, flips: list[tuple[int, int]], keep: int, outside: bool) -> None:
    """Damage inside the compressed tar, and of the compressed bytes."""
    content = bytearray(TAR)
    for place, value in flips:
        content[place if place % 2 else place % 600] = value  # headers more often than not
    packed = gzip.compress(bytes(content), 1, mtime=0)
    (tmp_path / "a.tgz").write_bytes(packed[: keep % (len(packed) + 1)] if outside else packed)
    target = tmp_path / "model"
    try:
        unpack(tmp_path / "a.tgz", target)
    except InputError as error:
        assert "a.tgz" in str(error) or "model" in str(error)
        assert not target.exists()
    for folder, _, files in os.walk(target, topdown=False):
        for name in files:
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tgz"]
