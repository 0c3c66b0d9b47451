"""Who owns the `easynlp` command, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from easynlp_fashionklip.app import doctor
from easynlp_fashionklip.errors import InputError

OURS = "#!/venv/bin/python\nimport sys\nfrom easynlp_fashionklip.cli import easynlp_main\nsys.exit(easynlp_main())\n"
THEIRS = "#!/venv/bin/python\nimport sys\nfrom easynlp.cli import main\nsys.exit(main())\n"


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the interpreter seems to live."""
    monkeypatch.setattr(doctor.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("text", "owner"), [(OURS, "ours"), (THEIRS, "easynlp"), ("#!/bin/sh\n", "unknown")])
def test_script_owner(tmp_path: Path, text: str, owner: str) -> None:
    (tmp_path / "easynlp").write_text(text)
    assert doctor.script_owner(tmp_path / "easynlp") == owner


def test_a_script_that_cannot_be_read(tmp_path: Path) -> None:
    assert doctor.script_owner(tmp_path / "gone") == "unknown"
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00MZ")
    assert doctor.script_owner(tmp_path / "binary") == "unknown"


def test_our_script_is_fine(prefix: Path) -> None:
    (prefix / "easynlp").write_text(OURS)
    finding = doctor._script()
    assert not finding.wrong
    assert finding.remedy == ""


def test_a_script_taken_back_is_wrong_and_the_remedy_named(prefix: Path) -> None:
    (prefix / "easynlp").write_text(THEIRS)
    finding = doctor._script()
    assert finding.wrong
    assert "taken back by an installation of pai-easynlp" in finding.state
    assert "--force-reinstall --no-deps easynlp-fashionklip" in finding.remedy


def test_no_script_at_all(prefix: Path) -> None:
    finding = doctor._script()
    assert finding.wrong
    assert finding.state == "not on PATH"


def test_what_is_missing_but_optional_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise InputError("get it there")

    assert doctor._attempt("weights", fail, needed=False) == doctor.Finding("weights", "missing", "get it there")
    assert doctor._attempt("weights", fail, needed=True).wrong
    assert doctor._package("surely-not-installed", "pip install it", needed=True).wrong


def test_report_marks_and_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [doctor.Finding("a", "1.0"), doctor.Finding("b", "missing", "get b")]
    monkeypatch.setattr(doctor, "_findings", lambda: iter(findings))
    text, healthy = doctor.report()
    assert healthy
    assert [line.split() for line in text.splitlines()] == [
        ["ok", "a", "1.0"],
        ["note", "b", "missing"],
        ["->", "get", "b"],
    ]
    findings.append(doctor.Finding("c", "bad", "mend c", wrong=True))
    text, healthy = doctor.report()
    assert not healthy
    assert "WRONG c" in text
