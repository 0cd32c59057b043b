"""Members of zip and tar archives, one at a time and in constant memory.

Only the members that are asked for are written, each under the name the caller chooses, so a path
inside an archive never decides where a file lands. Links and oversized members are refused.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from lossless_inr.errors import UserError
from lossless_inr.files import replacing

# No member of the sets in the table is larger; an archive's own numbers are not believed.
LARGEST_MEMBER = 1 << 30
# A tar archive is read from its beginning: what it may unpack to, per byte of its own.
LARGEST_RATIO = 200
CHUNK = 1 << 18
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def is_archive(name: str) -> bool:
    """Whether a file of this name is read as an archive."""
    return name.lower().endswith(SUFFIXES)


def check_member(member: str) -> str:
    """Return a member's name if it is a plain relative path.

    Raises
    ------
    UserError
        If it leaves the folder it would be unpacked into.
    """
    path = PurePosixPath(member)
    if path.is_absolute() or ".." in path.parts or "\\" in member or not path.parts:
        raise UserError(f"archive member {member!r}: it leaves its folder; refused")
    return member


def extract(
    archive: Path,
    wanted: Mapping[str, Path],
    accept: Callable[[str, Path], None] = lambda member, path: None,
) -> None:
    """Write members to files; each appears only when it is complete and accepted.

    Parameters
    ----------
    archive : Path
        Zip, or tar with gzip, bzip2, xz or no compression, by its name.
    wanted : mapping of str to Path
        Member -> file.
    accept : callable
        Called with a member and the file that holds it; an exception refuses it.

    Raises
    ------
    UserError
        If the archive is damaged, or for the first member that is missing, refused, a link or a
        folder, or too large; the others are written all the same.
    """
    left = {check_member(member): Path(target) for member, target in wanted.items()}
    members = _zip_members if archive.name.lower().endswith(".zip") else _tar_members
    faults, others = [], []
    try:
        for name, stream in members(archive, set(left), others):
            if name not in left:  # an archive may hold a name twice: the first counts
                continue
            target = left.pop(name)
            try:
                _write(stream, target, f"{archive.name}: member {name}", name, accept)
            except UserError as error:
                faults.append(error)
            if not left:
                break
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise UserError(f"{archive}: damaged archive ({error}); delete it and run again") from None
    except OSError as error:
        if error.errno is None:  # gzip and bzip2 say so when their data is wrong
            raise UserError(f"{archive}: damaged archive ({error}); delete it") from None
        raise
    if left:
        has = f"; it has {', '.join(others[:3])} ..." if others else ""
        faults.append(UserError(f"{archive}: it has no member {next(iter(left))}{has}"))
    if faults:
        raise faults[0]


def _zip_members(
    archive: Path, wanted: set[str], others: list[str]
) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if info.filename not in wanted:
                others.append(info.filename)
                continue
            is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
            if info.is_dir() or is_link:
                raise UserError(f"{archive}: member {info.filename} is a link or folder; refused")
            with file.open(info) as stream:
                yield info.filename, stream


def _tar_members(
    archive: Path, wanted: set[str], others: list[str]
) -> Iterator[tuple[str, IO[bytes]]]:
    most = LARGEST_RATIO * archive.stat().st_size + LARGEST_MEMBER
    with tarfile.open(archive, "r|*") as file:
        for info in file:
            if info.offset_data + info.size > most:
                raise UserError(f"{archive}: it unpacks to more than {most} bytes; refused")
            name = info.name.removeprefix("./")
            if name not in wanted:
                others.append(name)
                continue
            if not info.isreg():
                raise UserError(f"{archive}: member {name} is a link or folder; refused")
            yield name, file.extractfile(info)


def _write(stream, target: Path, where: str, member: str, accept) -> None:
    with replacing(target) as file:
        size = 0
        while block := stream.read(CHUNK):
            size += len(block)
            if size > LARGEST_MEMBER:
                raise UserError(f"{where}: larger than {LARGEST_MEMBER} bytes; refused")
            file.write(block)
        file.flush()
        accept(member, Path(file.name))


def copy(source: Path, target: Path) -> None:
    """Copy a file; the copy appears only when it is complete."""
    with open(source, "rb") as stream, replacing(target) as file:
        shutil.copyfileobj(stream, file, CHUNK)
