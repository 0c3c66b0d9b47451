"""Same bytes, same key; only files of one size are read."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from easynlp_fashionklip.data import picture_keys as module
from easynlp_fashionklip.data.catalogue import open_catalogue
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.data.picture_keys import picture_keys

JPEG = b"\xff\xd8\xff" + bytes(60)


def _table(folder: Path, cells: list[str]) -> PairTable:
    path = folder / "table.csv"
    path.write_text("image,caption\n" + "".join(f"{cell},text\n" for cell in cells), encoding="utf-8")
    return PairTable(open_catalogue(path), text="caption", image="image")


def test_copies_share_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy under another name, the same name twice, the same bytes as base64; of one size alone is no copy."""
    for name, content in {"a": JPEG, "copy": JPEG, "same_size": JPEG[:-1] + b"x", "other": b"longer" * 20}.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    encoded = base64.b64encode(JPEG).decode()
    names = ["a.jpg", "other.jpg", "copy.jpg", "same_size.jpg", encoded, "a.jpg", "other.jpg", "gone.jpg", "gone2.jpg"]
    read: list[str] = []
    key_of_file = module._key_of_file
    monkeypatch.setattr(module, "_key_of_file", lambda path, key: (read.append(path.name), key_of_file(path, key))[1])
    keys = picture_keys(_table(tmp_path, names)).tolist()
    assert keys[0] == keys[2] == keys[4] == keys[5]
    assert keys[1] == keys[6]
    assert len(set(keys)) == 5
    assert set(read) == {"a.jpg", "copy.jpg", "same_size.jpg"}


def test_no_rows(tmp_path: Path) -> None:
    """An empty subset has no keys."""
    (tmp_path / "a.jpg").write_bytes(JPEG)
    assert len(picture_keys(_table(tmp_path, ["a.jpg"]).subset([]))) == 0
