"""Downloads end with the whole right file or with a sentence, whatever server and disk do."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.zoo.download import Unavailable, download

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def url(server: Any) -> str:
    server.files["/model.tgz"] = CONTENT
    return f"{server.url}/model.tgz"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return tmp_path / "there" / "model.tgz"


def only(target: Path) -> bytes:
    """The content of the one file in the folder."""
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return target.read_bytes()


def test_a_file_comes_whole(url: str, target: Path, server: Any) -> None:
    download(url, target, sha256=SHA256.upper())
    assert only(target) == CONTENT
    assert server.requests == [("/model.tgz", "")]


def test_without_a_length_too(url: str, target: Path, server: Any) -> None:
    server.length = False
    download(url, target)
    assert only(target) == CONTENT


def test_a_truncated_download_goes_on_where_it_broke_off(url: str, target: Path, server: Any) -> None:
    server.break_after = [100_000, 50_000]
    download(url, target, sha256=SHA256)
    assert only(target) == CONTENT
    assert [asked for _, asked in server.requests] == ["", "bytes=100000-", "bytes=150000-"]


def test_the_bar_shows_how_far_it_is(url: str, target: Path, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, int, int]] = []

    class Bar:
        def __init__(self, *, initial: int, total: int, **_: Any) -> None:
            self.initial, self.total, self.come = initial, total, 0

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            shown.append((self.initial, self.come, self.total))

        def update(self, count: int) -> None:
            self.come += count

    monkeypatch.setattr("easynlp_fashionklip.models.zoo.download.tqdm", Bar)
    server.break_after = [100_000]
    download(url, target)
    assert shown == [(0, 100_000, 300_000), (100_000, 200_000, 300_000)]


def test_a_later_run_goes_on_too(url: str, target: Path, server: Any) -> None:
    server.break_after = [100_000, 0, 0, 0, 0, 0]
    with pytest.raises(InputError, match=r"broke off after 100,000 bytes.*run the command again"):
        download(url, target, sha256=SHA256)
    assert target.with_name("model.tgz.part").stat().st_size == 100_000
    assert not target.exists()
    server.requests.clear()
    server.break_after = []
    download(url, target, sha256=SHA256)
    assert only(target) == CONTENT
    assert server.requests == [("/model.tgz", "bytes=100000-")]


def test_a_server_without_ranges_sends_all_again(url: str, target: Path, server: Any) -> None:
    server.ranges = False
    server.break_after = [100_000]
    download(url, target, sha256=SHA256)
    assert only(target) == CONTENT
    assert len(server.requests) == 2


def test_parts_of_two_versions_are_not_joined(url: str, target: Path, server: Any) -> None:
    server.break_after = [100_000, 0, 0, 0, 0, 0]
    with pytest.raises(InputError):
        download(url, target)
    server.break_after, server.etag = [], '"two"'
    server.files["/model.tgz"] = CONTENT[::-1]
    download(url, target)
    assert only(target) == CONTENT[::-1]


def test_a_complete_part_needs_no_more(url: str, target: Path, server: Any) -> None:
    target.with_name("model.tgz.part").write_bytes(CONTENT)
    download(url, target, sha256=SHA256)
    assert only(target) == CONTENT


def test_a_part_longer_than_the_file_is_begun_anew(url: str, target: Path) -> None:
    target.with_name("model.tgz.part").write_bytes(CONTENT + b"more")
    download(url, target, sha256=SHA256)
    assert only(target) == CONTENT


def test_a_part_of_something_else_is_begun_anew_when_the_sum_tells(url: str, target: Path) -> None:
    target.with_name("model.tgz.part").write_bytes(b"x" * 1000)
    download(url, target, sha256=SHA256)
    assert only(target) == CONTENT


def test_a_wrong_sum_leaves_nothing(url: str, target: Path) -> None:
    with pytest.raises(InputError, match=rf"has sha256 {SHA256} where 0000.* is expected; nothing of it was kept"):
        download(url, target, sha256="0" * 64)
    assert not list(target.parent.iterdir())


@pytest.mark.parametrize("status", [403, 404, 500])
def test_what_a_server_does_not_give_is_unavailable(url: str, target: Path, server: Any, status: int) -> None:
    server.status = [status]
    with pytest.raises(Unavailable, match=f"answers {status}"):
        download(url, target)
    assert not list(target.parent.iterdir())


def test_no_server_is_unavailable(target: Path) -> None:
    with pytest.raises(Unavailable, match="refused"):
        download("http://127.0.0.1:9/model.tgz", target)


def test_no_address_is_unavailable(target: Path) -> None:
    with pytest.raises(Unavailable):
        download("http://[::1/model.tgz", target)


def test_too_little_space_is_told_before_anything_comes(
    url: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="needs 0 MB in .* free some space"):
        download(url, target)
    assert not target.exists()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Longer writes fail, as they do on a full disk: inside every library, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_keeps_what_came(url: str, target: Path, server: Any) -> None:
    with files_of_at_most(100_000), pytest.raises(InputError, match="model.tgz.part cannot be written"):
        download(url, target)
    assert not target.exists()
    assert target.with_name("model.tgz.part").stat().st_size <= 100_000
    download(url, target, sha256=SHA256)
    assert only(target) == CONTENT
    assert server.requests[-1][1].startswith("bytes=")


def test_the_words_for_a_full_disk(url: str, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("easynlp_fashionklip.models.zoo.download._append", full)
    with pytest.raises(InputError, match="the disk is full; free some space"):
        download(url, target)
