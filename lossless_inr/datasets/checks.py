"""What is known about a file before it is here, and holding the file against it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


class Unfit(Exception):
    """A file, or an address of it, is not what it should be; the text says why in a few words."""


@dataclass(frozen=True)
class Digests:
    """What is known about a file before it is fetched; None = unknown."""

    sha256: str | None = None
    md5: str | None = None
    bytes: int | None = None


def sha256_of(path: Path) -> str:
    """Digest of a file, in constant memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, expected: Digests) -> str:
    """The sha256 of a file that is what is expected.

    Raises
    ------
    Unfit
        If its length or a digest differs.
    """
    size = path.stat().st_size
    if expected.bytes is not None and size != expected.bytes:
        raise Unfit(f"it has {size} bytes instead of {expected.bytes}")
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if expected.sha256 and sha256 != expected.sha256:
            raise Unfit(f"its sha256 is {sha256[:16]}..., not {expected.sha256[:16]}...")
        if expected.md5 and not expected.sha256:
            file.seek(0)
            md5 = hashlib.file_digest(file, "md5").hexdigest()
            if md5 != expected.md5:
                raise Unfit(f"its md5 is {md5}, not {expected.md5}")
    return sha256
