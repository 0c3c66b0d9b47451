"""One file over HTTP: resumed where it broke off, checked against its sha256, under its name only when complete."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from easynlp_fashionklip.errors import InputError, storage_error
from easynlp_fashionklip.models.packaged import sha256_of
from easynlp_fashionklip.models.storage import require_space
from easynlp_fashionklip.models.torch_file import first_line

logger = logging.getLogger(__name__)

_CHUNK = 1 << 18
_TIMEOUTS = (10.0, 60.0)  # seconds to connect, and between two pieces
_IDLE_ATTEMPTS = 4  # in a row that brought nothing
_PAUSE = 0.5  # seconds before the second attempt; doubled with each one that brought nothing
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class Unavailable(Exception):
    """A server does not have the file or does not answer; another may."""


class _Broken(Exception):
    """The transfer ended early; what came is kept."""


def download(url: str, target: Path, *, sha256: str = "") -> None:
    """Fetch `url` into the file `target`.

    What came of an interrupted download stays as `<target>.part` and is gone on with, if the server can do that and
    the file there is still the same.

    Args:
        url: http or https.
        target: file to write; its folder exists.
        sha256: what the file must have, in hexadecimal; "" if nobody knows.

    Raises:
        Unavailable: the server has no such file, or cannot be reached.
        InputError: the transfer breaks off again and again, the checksum differs, or the disk is full.
    """
    part = target.with_name(f"{target.name}.part")
    resumed = part.exists()
    _transfer_all(url, part)
    found = sha256_of(part)
    if sha256 and found != sha256.lower():
        _forget(part)
        if resumed:  # perhaps its beginning was of another file
            logger.info("%s does not have the right sha256 after resuming: downloading it anew", target.name)
            download(url, target, sha256=sha256)
            return
        raise InputError(f"{url} has sha256 {found} where {sha256.lower()} is expected; nothing of it was kept.")
    os.replace(part, target)
    _validator_of(part).unlink(missing_ok=True)


def _transfer_all(url: str, part: Path) -> None:
    first = _size(part)
    idle = 0
    while True:
        before = _size(part)
        try:
            return _transfer(url, part)
        except (_Broken, Unavailable) as error:
            if isinstance(error, Unavailable) and before == first:
                raise
            idle = 0 if _size(part) > before else idle + 1
            if idle >= _IDLE_ATTEMPTS:
                raise InputError(
                    f"{url} broke off after {_size(part):,} bytes ({error}); run the command again to go on from there."
                ) from error
            logger.info("%s broke off (%s): going on", url, error)
            time.sleep(_PAUSE * 2**idle)
        except OSError as error:
            raise storage_error(part, error) from error


def _transfer(url: str, part: Path) -> None:
    """Bring `part` to its end, or raise `_Broken`."""
    offset = _size(part)
    headers = {"Accept-Encoding": "identity"} | (_resume_headers(part, offset) if offset else {})
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=_TIMEOUTS)
    except requests.RequestException as error:
        raise Unavailable(_reason(error)) from error
    with response:
        offset, total = _beginning(response, part, offset)
        if total is not None and offset == total:
            return
        if total is not None:
            require_space(part.parent, total - offset, url)
        _append(response, part, offset, total)
    if total is not None and _size(part) != total:
        raise _Broken(f"{_size(part):,} of {total:,} bytes came")


def _beginning(response: requests.Response, part: Path, offset: int) -> tuple[int, int | None]:
    """(where the answer begins in the file, the file's size if the server says it)."""
    span = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    size = int(span.group(2)) if span and span.group(2) != "*" else None
    if response.status_code == 206 and span and int(span.group(1) or -1) == offset:
        return offset, size
    if response.status_code == 416 and offset and size == offset:
        return offset, size  # it was complete already
    if response.status_code in (206, 416):
        _forget(part)
        raise _Broken("the server's file is another one now")
    if response.status_code != 200:
        raise Unavailable(f"the server answers {response.status_code} {response.reason}")
    _forget(part)  # the server sends the whole file, be it that it cannot go on or that the file has changed
    part.touch()
    if validator := response.headers.get("ETag") or response.headers.get("Last-Modified"):
        _validator_of(part).write_text(validator, encoding="utf-8")
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _append(response: requests.Response, part: Path, offset: int, total: int | None) -> None:
    name = part.name.removesuffix(".part")
    bar = tqdm(desc=name, initial=offset, total=total, unit="B", unit_scale=True, disable=None)
    with bar, part.open("ab") as file:
        pieces = response.raw.stream(_CHUNK, decode_content=False)
        while True:
            try:
                piece = next(pieces, None)
            except (HTTPError, requests.RequestException, ConnectionError, TimeoutError) as error:
                raise _Broken(_reason(error)) from error
            if piece is None:
                return
            file.write(piece)
            bar.update(len(piece))


def _resume_headers(part: Path, offset: int) -> dict[str, str]:
    headers = {"Range": f"bytes={offset}-"}
    validator = _validator_of(part)
    if validator.is_file():
        headers["If-Range"] = validator.read_text(encoding="utf-8")
    return headers


def _validator_of(part: Path) -> Path:
    """Where the server's mark of the file's version is kept, so that parts of two versions are never joined."""
    return part.with_name(f"{part.name}.version")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_of(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: BaseException) -> str:
    """What failed in the end, without the layers of libraries around it."""
    for _ in range(8):
        error = error.__cause__ or error.__context__ or error
    return first_line(error)[:200]
