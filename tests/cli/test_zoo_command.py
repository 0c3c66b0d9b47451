"""`fashionklip zoo`, `zoo list`, `zoo info`, `zoo fetch`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from easynlp_fashionklip.cli import fashionklip_main
from easynlp_fashionklip.models.zoo import ZOO

Run = Callable[..., tuple[int, str, str]]
BASE = "alibaba-pai/pai-clip-commercial-base-en"


@pytest.fixture()
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, with an empty zoo and no mirror but one that nobody serves."""
    monkeypatch.setenv("EASYNLP_MODELZOO_BASE_DIR", str(tmp_path / "zoo"))
    monkeypatch.setenv("FASHIONKLIP_ZOO_URL", "http://127.0.0.1:9/root")

    def command(*argv: str) -> tuple[int, str, str]:
        code = fashionklip_main(["zoo", *argv])
        return code, *capsys.readouterr()

    return command


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_the_list_says_what_is_here(run: Run, tmp_path: Path) -> None:
    code, out, _ = run()
    assert (code, out) == run("list")[:2]
    assert code == 0
    for model in ZOO.values():
        assert f"{model.name}\n" in out
        assert model.licence in out
    assert f"to download: fashionklip zoo fetch {BASE}" in out
    folder = make(tmp_path / "zoo" / BASE)
    make(tmp_path / "zoo" / "mine")
    out = run("list")[1]
    assert f"ready: {folder}" in out
    assert f"also in {tmp_path / 'zoo'}: mine" in out


def test_info(run: Run) -> None:
    code, out, _ = run("info", BASE)
    assert code == 0
    assert f"http://127.0.0.1:9/root/easynlp_modelzoo/{BASE}.tgz" in out
    assert "224 px" in out and "at most 77 tokens" in out and "not published" in out
    out = run("info", "starter")[1]
    assert all(f"{file.path}\n{'':13}sha256 {file.sha256}\n" in out for file in ZOO["starter"].files)


def test_fetch(run: Run, tmp_path: Path) -> None:
    code, out, err = run("fetch", BASE)
    assert code == 2
    assert f"error: {BASE} cannot be downloaded" in err and "refused" in err
    code, _, err = run("fetch", BASE, "--offline")
    assert code == 2 and "downloads are off" in err
    folder = make(tmp_path / "zoo" / BASE)
    assert run("fetch", BASE)[:2] == (0, f"{BASE}: {folder}\n")
    assert run("fetch", "tiny")[:2] == (0, "tiny: nothing to download; it is made in code\n")


@pytest.mark.parametrize("sha256", ["12", "g" * 64])
def test_a_sum_that_is_none_is_told(run: Run, sha256: str) -> None:
    code, _, err = run("fetch", BASE, "--sha256", sha256)
    assert code == 2
    assert "is no sha256; it has 64 hexadecimal digits" in err


@pytest.mark.parametrize("command", ["info", "fetch"])
def test_an_unknown_name_lists_the_known(run: Run, command: str) -> None:
    code, _, err = run(command, "pai-clip-commercial-base-en")
    assert code == 2
    assert f"did you mean '{BASE}'" in err and "Known names: starter, tiny" in err
