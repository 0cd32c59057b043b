"""Files that appear only when they are complete, and words for a disk's refusals."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

# What a disk or its owner refuses, as opposed to a fault of ours.
REFUSALS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
)
# Set by the workflow from `latency-wait`, for its scripts.
LATENCY = "LOSSLESS_INR_LATENCY"


@contextmanager
def replacing(target: Path, mode: str = "wb", **options) -> Iterator[IO]:
    """A file that takes the place of `target` when it is closed without an exception.

    Its own name is unique, so two processes that write one target do not meet: the later one
    stays.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    partial = target.with_name(f".{target.name}.{unique}.partial")
    try:
        with open(partial, mode, **options) as file:
            yield file
            # A power cut after the renaming must not leave an empty file of this name.
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        # What was refused is the file that the caller knows.
        if isinstance(error, OSError) and str(error.filename) == str(partial):
            error.filename = str(target)
        raise


def write(target: Path, content: bytes, *, durable: bool = True) -> None:
    """Put `content` in the place of `target`, for a file that has one writer at a time.

    Its temporary name is always the same, so that one left behind by a kill is written over.
    With `durable`, it is on the disk when it has its name, whatever becomes of the power.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    with open(partial, "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    partial.replace(target)


def sha256_of(path: Path) -> str:
    """sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def latency() -> float:
    """Seconds after which a file that is not seen is taken to be missing: Snakemake's setting."""
    return float(os.environ.get(LATENCY, 5.0))


def appears(path: Path) -> bool:
    """Whether a file that another process has written is seen, if need be after `latency`.

    A network file system may say for a while that there is none, as it remembers having looked.
    """
    path, seconds = Path(path), latency()
    end = time.monotonic() + seconds
    while not path.is_file():
        if time.monotonic() >= end:
            return False
        time.sleep(min(1.0, seconds))
        # Listing the folder makes NFS ask its server.
        with suppress(OSError):
            os.listdir(path.parent)
    return True


def refusal(error: OSError) -> str:
    """What an operating system's error means to the user, and what to change."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "no space left for it; make room and run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "it cannot be written to or read; correct the permissions of its folder"
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return "a file stands where a folder should be, or the other way round; move it away"
    return error.strerror or str(error)
