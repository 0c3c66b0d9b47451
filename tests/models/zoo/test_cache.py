"""Models of the zoo get into EasyNLP's folder once, whoever asks for them and however often."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.zoo import ZOO, cache, fetch, zoo_folder
from easynlp_fashionklip.models.zoo.cache import cached_models, is_offline, mirrors

BASE = ZOO["alibaba-pai/pai-clip-commercial-base-en"]
FILES = {"config.json": b"{}", "pytorch_model.bin": b"weights" * 1000}


def archive(files: dict[str, bytes] = FILES, top: str = "pai-clip-commercial-base-en/") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{top}{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def mirror(server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The server, named in the environment, with the base model where EasyNLP's has it."""
    assert BASE.archive is not None
    server.files[f"/root/{BASE.archive.paths[0]}"] = archive()
    monkeypatch.setenv("FASHIONKLIP_ZOO_URL", f"{server.url}/root/")
    return server


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_is_fetched_once(mirror: Any, home: Path) -> None:
    folder = fetch(BASE)
    assert folder == home / ".easynlp" / "modelzoo" / "alibaba-pai" / "pai-clip-commercial-base-en"
    assert content(folder) == FILES
    assert fetch(BASE) == folder
    assert len(mirror.requests) == 1
    assert [path.name for path in folder.parent.iterdir() if not path.name.startswith(".")] == [folder.name]
    assert cached_models() == [BASE.name]


def test_the_release_serves_it_elsewhere(mirror: Any) -> None:
    assert BASE.archive is not None
    mirror.files = {f"/root/{BASE.archive.paths[1]}": archive({"pai-clip-commercial-base-en.pt": b"w"})}
    assert content(fetch(BASE)) == {"pai-clip-commercial-base-en.pt": b"w"}
    assert [path for path, _ in mirror.requests] == [f"/root/{path}" for path in BASE.archive.paths]


def test_several_mirrors_are_asked_in_order(mirror: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHIONKLIP_ZOO_URL", f"http://127.0.0.1:9/,{mirror.url}/nothing, {mirror.url}/root")
    assert content(fetch(BASE)) == FILES


def test_no_server_has_it(mirror: Any) -> None:
    mirror.files = {}
    with pytest.raises(InputError, match=r"base-en cannot be downloaded .*answers 404.*FASHIONKLIP_ZOO_URL.*no model"):
        fetch(BASE)
    assert not zoo_folder().joinpath(BASE.name).exists()


@pytest.mark.parametrize("url", ["ftp://host/", "somewhere"])
def test_a_mirror_that_is_no_address_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHIONKLIP_ZOO_URL", url)
    with pytest.raises(InputError, match="FASHIONKLIP_ZOO_URL"):
        mirrors()


@pytest.mark.parametrize("variable", ["FASHIONKLIP_OFFLINE", "HF_HUB_OFFLINE", ""])
def test_offline_lists_what_is_there(variable: str, mirror: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = zoo_folder() / "hfl" / "some-bert"
    other.mkdir(parents=True)
    (other / "config.json").touch()
    if variable:
        monkeypatch.setenv(variable, "1")
    with pytest.raises(InputError, match=r"base-en is not on this machine, and downloads are off; .*: hfl/some-bert\."):
        fetch(BASE, offline=not variable)
    assert not mirror.requests
    monkeypatch.setenv(variable or "FASHIONKLIP_OFFLINE", "0")
    assert not is_offline()


def test_the_sum_is_checked_when_known(mirror: Any) -> None:
    with pytest.raises(InputError, match="where 0000"):
        fetch(BASE, sha256="0" * 64)
    assert not [path for path in zoo_folder().rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert content(fetch(BASE, sha256=hashlib.sha256(archive()).hexdigest())) == FILES


def test_a_hostile_archive_is_not_kept(mirror: Any) -> None:
    assert BASE.archive is not None
    mirror.files[f"/root/{BASE.archive.paths[0]}"] = archive({"../../outside.pt": b"x"})
    with pytest.raises(InputError, match="leads out of the folder"):
        fetch(BASE)
    assert not [path for path in zoo_folder().rglob("*") if path.is_file() and not path.name.endswith(".lock")]


def test_an_archive_that_lies_there_is_unpacked(mirror: Any) -> None:
    path = zoo_folder() / f"{BASE.name}.tgz"
    path.parent.mkdir(parents=True)
    path.write_bytes(archive())
    assert content(fetch(BASE, offline=True)) == FILES
    assert not mirror.requests
    assert not path.exists()


def test_a_damaged_archive_of_the_users_is_left_to_the_user(mirror: Any) -> None:
    path = zoo_folder() / f"{BASE.name}.tgz"
    path.parent.mkdir(parents=True)
    path.write_bytes(archive()[:-20])
    with pytest.raises(InputError, match=r"base-en.tgz is damaged"):
        fetch(BASE)
    assert path.exists()


def test_the_folder_is_easynlps(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    assert zoo_folder() == home / ".easynlp" / "modelzoo"
    monkeypatch.setenv("EASYNLP_CACHE_ROOT", str(home / "root"))
    assert zoo_folder() == home / "root" / "modelzoo"
    monkeypatch.setenv("EASYNLP_MODELZOO_BASE_DIR", str(home / "base"))
    assert zoo_folder() == home / "base"
    monkeypatch.setenv("EASYNLP_MODELZOO_BASE_DIR", "oss://bucket/zoo")
    with pytest.raises(InputError, match="oss://bucket/zoo is no folder"):
        zoo_folder()


def test_a_folder_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    (home / "file").touch()
    monkeypatch.setenv("EASYNLP_MODELZOO_BASE_DIR", str(home / "file"))
    with pytest.raises(InputError, match="cannot be written"):
        fetch(BASE)


def _fetch(results: Any) -> None:
    results.put(str(fetch(BASE)))


def test_of_two_processes_one_downloads_and_the_other_waits(mirror: Any) -> None:
    mirror.delay = threading.Event()
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()
    processes = [context.Process(target=_fetch, args=(results,), daemon=True) for _ in range(2)]
    for process in processes:
        process.start()
    end = time.monotonic() + 20
    while not mirror.requests and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.2)  # for the other to meet the lock
    assert all(process.is_alive() for process in processes)
    mirror.delay.set()
    folders = {results.get(timeout=20) for _ in processes}
    for process in processes:
        process.join(20)
        assert process.exitcode == 0
    assert len(mirror.requests) == 1
    assert [content(Path(folder)) for folder in folders] == [FILES]


def test_the_waiting_are_told(mirror: Any, caplog: pytest.LogCaptureFixture) -> None:
    mirror.delay = threading.Event()
    with caplog.at_level("INFO"):
        threads = [threading.Thread(target=fetch, args=(BASE,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 20
        while "another process is fetching pai-clip-commercial-base-en" not in caplog.text and time.monotonic() < end:
            time.sleep(0.01)
        mirror.delay.set()
        for thread in threads:
            thread.join(20)
    assert "another process is fetching pai-clip-commercial-base-en: waiting for it" in caplog.text
    assert len(mirror.requests) == 1
    assert cache.cached_models() == [BASE.name]
