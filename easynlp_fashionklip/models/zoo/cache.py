"""EasyNLP's folder of models on this machine, and how a model gets into it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from easynlp_fashionklip.errors import InputError, storage_error
from easynlp_fashionklip.models.checkpoint import CONFIG
from easynlp_fashionklip.models.conversion.folders import SUFFIXES
from easynlp_fashionklip.models.packaged import sha256_of
from easynlp_fashionklip.models.zoo.download import Unavailable, download
from easynlp_fashionklip.models.zoo.records import ZooModel
from easynlp_fashionklip.models.zoo.unpacking import BadArchive, unpack

logger = logging.getLogger(__name__)

ZOO_URL = "FASHIONKLIP_ZOO_URL"
OFFLINE = ("FASHIONKLIP_OFFLINE", "HF_HUB_OFFLINE")
_DEFAULT_URL = "https://atp-modelzoo-sh.oss-cn-shanghai.aliyuncs.com/release/"
_NO = ("", "0", "false", "no", "off")


def zoo_folder() -> Path:
    """Where models lie: `--modelzoo_base_dir`, `$EASYNLP_CACHE_ROOT/modelzoo`, or `~/.easynlp/modelzoo`.

    Raises:
        InputError: it is a bucket, not a folder.
    """
    base = os.environ.get("EASYNLP_MODELZOO_BASE_DIR", "")  # EasyNLP sets it from --modelzoo_base_dir
    if "://" in base:
        raise InputError(f"--modelzoo_base_dir={base} is no folder; give one on this machine.")
    root = os.environ.get("EASYNLP_CACHE_ROOT") or "~/.easynlp"
    return Path(base or f"{root}/modelzoo").expanduser()


def is_offline() -> bool:
    """Whether the environment says that nothing may be downloaded."""
    return any(os.environ.get(name, "").strip().lower() not in _NO for name in OFFLINE)


def mirrors() -> list[str]:
    """Roots of the servers to ask, in order: those of `FASHIONKLIP_ZOO_URL`, separated by commas, or EasyNLP's.

    Raises:
        InputError: one is no http address.
    """
    given = [word.strip() for word in os.environ.get(ZOO_URL, "").split(",") if word.strip()]
    for url in given:
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{ZOO_URL}={url} is no address; it begins with http:// or https://.")
    return given or [_DEFAULT_URL]


def cached_models() -> list[str]:
    """Names of the models in `zoo_folder()`, sorted."""
    base = zoo_folder()
    folders = (folder for pattern in ("*", "*/*") for folder in base.glob(pattern) if folder.is_dir())
    return sorted(str(folder.relative_to(base)) for folder in folders if _holds_model(folder))


def _holds_model(folder: Path) -> bool:
    if any(part.startswith(".") for part in folder.parts[-2:]):
        return False
    with suppress(OSError):
        return any(path.name == CONFIG or path.suffix in SUFFIXES for path in folder.iterdir())
    return False


def fetch(model: ZooModel, *, sha256: str = "", offline: bool = False) -> Path:
    """The folder of a model of the zoo, downloaded into `zoo_folder()` unless it is there.

    Of several processes that ask at once one downloads and the others wait for it. An archive that lies there already
    (`<name>.tgz`, as EasyNLP's own downloads are named) is unpacked instead of downloaded.

    Args:
        model: one that has an archive.
        sha256: of the archive, if you know it better than the zoo.
        offline: download nothing; the environment may say so, too.

    Raises:
        InputError: nothing may be downloaded, no server has it, its checksum differs, it is damaged or hostile, or
            the disk is full; the message lists what is there.
    """
    target = zoo_folder() / model.name
    if _is_there(target):
        return target
    archive = target.with_name(f"{target.name}.tgz")
    if (offline or is_offline()) and not archive.is_file():
        raise InputError(f"{model.name} is not on this machine, and downloads are off; {_what_is_there()}")
    with _one_at_a_time(target):
        if not _is_there(target):
            downloaded = _get(model, archive, sha256)
            try:
                unpack(archive, target)
            except BadArchive:
                if downloaded:
                    archive.unlink(missing_ok=True)
                raise
            archive.unlink(missing_ok=True)
    return target


def _is_there(target: Path) -> bool:
    return target.is_dir() and any(target.iterdir())


def _get(model: ZooModel, archive: Path, sha256: str) -> bool:
    """Have the archive; whether it had to be downloaded."""
    assert model.archive is not None, model.name
    wanted = (sha256 or model.archive.sha256).lower()
    if archive.is_file():
        if wanted and (found := sha256_of(archive)) != wanted:
            raise InputError(f"{archive} has sha256 {found} where {wanted} is expected; remove it.")
        return False
    failures = []
    for root in mirrors():
        for path in model.archive.paths:
            url = f"{root.rstrip('/')}/{path}"
            try:
                logger.info("downloading %s to %s", url, archive.parent)
                download(url, archive, sha256=wanted)
                return True
            except Unavailable as error:
                failures.append(f"{url}: {error}")
    raise InputError(
        f"{model.name} cannot be downloaded ({'; '.join(failures)}); name a mirror in {ZOO_URL}, or put the archive "
        f"there as {archive}; {_what_is_there()}"
    )


def _what_is_there() -> str:
    names = cached_models()
    return f"in {zoo_folder()} there is: {', '.join(names)}." if names else f"{zoo_folder()} holds no model."


@contextmanager
def _one_at_a_time(target: Path) -> Iterator[None]:
    path = target.with_name(f".{target.name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("another process is fetching %s: waiting for it", target.name)
            lock.acquire()
    except OSError as error:
        raise storage_error(target, error) from error
    try:
        yield
    finally:
        lock.release()
