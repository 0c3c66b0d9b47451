"""Files and folders that appear under their names only when they are complete and on the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from easynlp_fashionklip.errors import InputError, storage_error
from easynlp_fashionklip.models.torch_file import first_line


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what cannot end.

    Raises:
        InputError: the disk of `folder` has fewer than `needed` bytes left for `what`.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{what} needs {needed / 1e6:,.0f} MB in {folder}, where {free / 1e6:,.0f} MB are free; free some space."
        )


@contextmanager
def telling_disk_errors() -> Iterator[None]:
    """Turns what torch and safetensors raise while they write into the OSError that it is.

    Raises:
        OSError: a file could not be written, be it that the disk is full.
    """
    try:
        yield
    except (RuntimeError, SafetensorError) as error:  # neither library passes the OSError on
        raise OSError(f"the disk may be full: {first_line(error)}") from error


@contextmanager
def telling_tokenizer_errors() -> Iterator[None]:
    """The same for tokenizers, which are written in Rust: a plain `Exception`, "No space left on device (os error 28)".

    Raises:
        OSError: a file could not be written.
    """
    try:
        yield
    except Exception as error:
        if type(error) is Exception and "os error" in str(error):
            raise OSError(first_line(error)) from error
        raise


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name `target` at the end; after any failure nothing is there.

    Raises:
        InputError: `target` exists and is not empty, or cannot be written.
    """
    refuse_existing(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.writing")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        mode = temporary.stat().st_mode & 0o666
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            if path.is_file():
                path.chmod(mode)  # safetensors makes files that only the owner reads
            _to_disk(path)
        temporary.rename(target)
    except OSError as error:
        raise storage_error(target, error) from error
    except InputError as error:
        raise InputError(str(error).replace(str(temporary), str(target))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def folder_for(original: Path) -> Iterator[Path]:
    """A temporary folder that stands in for `original`, and goes by its name in messages."""
    with tempfile.TemporaryDirectory() as name:
        try:
            yield Path(name)
        except OSError as error:
            raise storage_error(Path(name), error) from error
        except InputError as error:
            raise InputError(str(error).replace(name, str(original))) from error


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A path to write, which gets its name `target` at the end; after any failure nothing is there.

    Raises:
        InputError: `target` exists, or cannot be written.
    """
    refuse_existing(target)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.writing{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode & 0o666
        yield temporary
        temporary.chmod(mode)
        _to_disk(temporary)
        temporary.rename(target)
    except OSError as error:
        raise storage_error(target, error) from error
    except InputError as error:
        raise InputError(str(error).replace(str(temporary), str(target))) from error
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(target: Path) -> None:
    """Never write over anything.

    Raises:
        InputError: `target` is a file, or a folder that holds something.
    """
    if target.is_symlink() or target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise InputError(f"{target} exists; remove it or give another name.")


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
