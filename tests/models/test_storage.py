"""Files and folders appear whole under their names, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.storage import folder_for, new_file, new_folder, require_space, telling_tokenizer_errors


def test_a_folder_appears_at_the_end(tmp_path: Path) -> None:
    with new_folder(tmp_path / "above" / "new") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        assert not (tmp_path / "above" / "new").exists()
    assert (tmp_path / "above" / "new" / "sub" / "file").read_text() == "x"
    assert [path.name for path in (tmp_path / "above").iterdir()] == ["new"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with new_folder(tmp_path / "new") as folder:
        (folder / "file").touch()
    assert (tmp_path / "new" / "file").exists()


def test_a_file_appears_at_the_end(tmp_path: Path) -> None:
    with new_file(tmp_path / "new.pt") as path:
        path.write_text("x")
        assert path.suffix == ".pt"
        assert not (tmp_path / "new.pt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new.pt"]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("power cut"), KeyboardInterrupt()]
)
def test_after_a_failure_nothing_is_there(tmp_path: Path, error: BaseException) -> None:
    for opened in (new_folder(tmp_path / "new"), new_file(tmp_path / "new.pt")):
        with pytest.raises((InputError, RuntimeError, KeyboardInterrupt)) as caught, opened as path:
            (path / "file" if path.is_dir() else path).touch()
            raise error
        assert not isinstance(error, OSError) or "cannot be written: the disk is full" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "folder", "link"):
        for opened in (new_folder(tmp_path / name), new_file(tmp_path / name)):
            with pytest.raises(InputError, match=f"{name} exists; remove it"), opened:
                raise AssertionError("not reached")
    assert (tmp_path / "file").read_text() == "mine"


def test_files_can_be_read_as_others_can(tmp_path: Path) -> None:
    """Whatever the library that wrote them thinks."""
    (tmp_path / "usual").touch()
    usual = (tmp_path / "usual").stat().st_mode
    with new_folder(tmp_path / "folder") as folder, new_file(tmp_path / "file") as file:
        for path in (folder / "file", file):
            path.touch()
            path.chmod(0o600)
    assert (tmp_path / "folder" / "file").stat().st_mode == (tmp_path / "file").stat().st_mode == usual


def test_messages_name_the_target(tmp_path: Path) -> None:
    for opened in (new_folder(tmp_path / "new"), new_file(tmp_path / "new")):
        with pytest.raises(InputError, match=f"^{tmp_path}/new cannot be$"), opened as path:
            raise InputError(f"{path} cannot be")


def test_space_is_asked_for(tmp_path: Path) -> None:
    require_space(tmp_path, 1, "a byte")
    with pytest.raises(InputError, match="a world needs 1,000,000,000,000 MB"):
        require_space(tmp_path, 10**18, "a world")


def test_what_stands_in_goes_by_the_name_of_the_original(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}/config.json is bad$"), folder_for(tmp_path) as folder:
        raise InputError(f"{folder}/config.json is bad")
    with pytest.raises(InputError, match="cannot be written: the disk is full"), folder_for(tmp_path) as folder:
        raise OSError(28, "No space left on device")
    assert not folder.exists()


def test_a_tokenizers_full_disk_is_an_os_error() -> None:
    with pytest.raises(OSError, match="No space left"), telling_tokenizer_errors():
        raise Exception("No space left on device (os error 28)")


def test_other_faults_of_a_tokenizer_stay_what_they_are() -> None:
    with pytest.raises(KeyError), telling_tokenizer_errors():
        raise KeyError("os error")
