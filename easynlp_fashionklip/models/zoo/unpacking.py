"""Archives of models, looked through before anything is written: only plain files, and only below the target."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from easynlp_fashionklip.errors import InputError
from easynlp_fashionklip.models.conversion.folders import SUFFIXES
from easynlp_fashionklip.models.storage import new_folder, require_space
from easynlp_fashionklip.models.torch_file import first_line

_MOST_MEMBERS = 10_000
_CHUNK = 1 << 20
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError, IndexError, KeyError, TypeError)


class BadArchive(InputError):
    """An archive that is damaged or refused, whatever disk it is on."""


def unpack(archive: Path, target: Path) -> None:
    """Unpack a .tgz into the folder `target`, which appears complete or not at all.

    If everything lies in one folder of the archive, that folder's content is what `target` gets.

    Raises:
        BadArchive: the archive is damaged, holds no weights, or anything but files and folders below it - absolute
            paths, `..`, links, devices - in which case nothing is written.
        InputError: `target` cannot be written.
    """
    members = _checked(archive)
    require_space(target.parent, sum(member.size for member in members), f"unpacking {archive.name}")
    top = _common_folder(members)
    with new_folder(target) as folder, _opened(archive) as tar:
        for member in tar:
            path = folder.joinpath(*PurePosixPath(member.name).parts[len(top) :])
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            if content is not None:
                with content, path.open("xb") as file:
                    shutil.copyfileobj(content, file, _CHUNK)


def _checked(archive: Path) -> list[tarfile.TarInfo]:
    """Everything in the archive, read to its end so that its checksum holds, with nothing written."""
    members: list[tarfile.TarInfo] = []
    with _opened(archive) as tar:
        for member in tar:
            if reason := _objection(member):
                raise BadArchive(f"{archive} is refused: its entry {member.name!r} {reason}; nothing was unpacked.")
            members.append(member)
            if len(members) > _MOST_MEMBERS:
                raise BadArchive(f"{archive} is refused: it has more than {_MOST_MEMBERS:,} entries.")
        while tar.fileobj is not None and tar.fileobj.read(_CHUNK):
            pass
    files = [PurePosixPath(member.name) for member in members if member.isreg()]
    if len(set(files)) != len(files):
        raise BadArchive(f"{archive} is refused: it holds a file twice; nothing was unpacked.")
    if not any(file.suffix in SUFFIXES for file in files):
        raise BadArchive(f"{archive} holds no file of weights ({', '.join(SUFFIXES)}); nothing was unpacked.")
    return members


def _objection(member: tarfile.TarInfo) -> str:
    """Why an entry may not be unpacked; "" if it may."""
    name = member.name
    if name.startswith("/") or "\\" in name or ":" in name.split("/")[0]:
        return "has an absolute path"
    if ".." in name.split("/"):
        return "leads out of the folder"
    if member.issym() or member.islnk():
        return "is a link"
    if not (member.isdir() or (member.isreg() and not member.issparse())):
        return "is neither a file nor a folder"
    if not name.isprintable() or (not PurePosixPath(name).name and name != "."):
        return "has no proper name"
    return ""


def _common_folder(members: list[tarfile.TarInfo]) -> tuple[str, ...]:
    """The one folder at the top that everything lies in, if there is one."""
    files = [PurePosixPath(member.name).parts for member in members if member.isreg()]
    tops = {parts[0] for parts in files if len(parts) > 1}
    return tuple(tops) if len(tops) == 1 and all(len(parts) > 1 for parts in files) else ()


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive, with whatever reading it may raise told in a sentence."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            yield tar
    except InputError:
        raise
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of the archive
        raise BadArchive(f"{archive} is damaged ({first_line(error)}); download it again.") from error
