"""Files that appear only when they are complete, and words for a disk's refusals."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

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
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


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
