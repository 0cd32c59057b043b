"""What is known about a file before it is here, and holding the file against it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

# Bytes that are read at a time.
BLOCK = 1 << 20
HEX = {"sha256": re.compile(r"[0-9a-f]{64}"), "md5": re.compile(r"[0-9a-f]{32}")}


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


class Hashing:
    """Length and digests of a file, taken as its bytes come.

    Parameters
    ----------
    expected : Digests
        What the file is to be.
    """

    def __init__(self, expected: Digests):
        self.expected, self.bytes = expected, 0
        self._sha256 = hashlib.sha256()
        # md5 counts only where no sha256 is known.
        self._md5 = hashlib.md5() if expected.md5 and not expected.sha256 else None

    def update(self, block: bytes) -> None:
        """Take the next bytes."""
        self.bytes += len(block)
        self._sha256.update(block)
        if self._md5 is not None:
            self._md5.update(block)

    def read(self, path: Path) -> None:
        """Take the bytes of a file, in constant memory."""
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                self.update(block)

    def verdict(self) -> str:
        """The sha256 of a file that is what is expected.

        Raises
        ------
        Unfit
            If its length or a digest differs.
        """
        expected, sha256 = self.expected, self._sha256.hexdigest()
        check_length(self.bytes, expected)
        if expected.sha256 and sha256 != expected.sha256:
            raise Unfit(f"its sha256 is {sha256[:16]}..., not {expected.sha256[:16]}...")
        if self._md5 is not None and self._md5.hexdigest() != expected.md5:
            raise Unfit(f"its md5 is {self._md5.hexdigest()}, not {expected.md5}")
        return sha256


def check_length(size: int, expected: Digests) -> None:
    """Raise `Unfit` if a file of `size` bytes cannot be the one expected."""
    if expected.bytes is not None and size != expected.bytes:
        raise Unfit(f"it has {size} bytes instead of {expected.bytes}")


def check(path: Path, expected: Digests) -> str:
    """The sha256 of a file that is what is expected.

    Raises
    ------
    Unfit
        If its length or a digest differs.
    """
    check_length(path.stat().st_size, expected)
    hashing = Hashing(expected)
    hashing.read(path)
    return hashing.verdict()
