"""Which GPU a fit process has: one of the machine's, kept by a lock that dies with the process.

Snakemake hands out how many GPUs, never which. So every fit process takes the first free one by a
file lock, before it imports torch, and shows CUDA no other. The lock is the kernel's (flock): it is
free again the moment its holder ends, however it ends. Its files are empty, stay where they are and
belong to a folder of this machine: over a network file system flock may be slow, be local to each
client or be missing, and other machines have other GPUs anyway.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lossless_inr.errors import UserError

# Seconds between two looks for a free GPU, and between two lines about waiting for one.
LOOK, TELL = 1.0, 60.0
# A driver in trouble answers late or never.
ASKING = 60.0


def _listed() -> list[str]:
    """UUIDs of the machine's NVIDIA GPUs that this process may use, in the driver's order."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASKING)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def usable() -> list[str]:
    """GPUs that CUDA would show this process, by UUID; none where there is no NVIDIA driver.

    `CUDA_VISIBLE_DEVICES` narrows them, as a scheduler or a user sets it: numbers (of the driver's
    list), UUIDs or their beginnings, or MIG instances. As for CUDA, the first name that cannot be
    ends the list. UUIDs tell apart what two jobs on one node both see as number 0.
    """
    listed = _listed()
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not listed or wanted is None:
        return listed
    found = []
    for name in filter(None, map(str.strip, wanted.split(","))):
        if name.isdecimal() and int(name) < len(listed):
            name = listed[int(name)]
        elif name.startswith("GPU-"):
            name = next((uuid for uuid in listed if uuid.startswith(name)), "")
        elif not name.startswith("MIG-"):
            name = ""
        if not name or name in found:
            break
        found.append(name)
    return found


def scheduling(arguments: list[str], device: str, per_gpu: int) -> list[str]:
    """Arguments that keep a Snakemake on this machine from starting fits that would only wait.

    None where there is no GPU, where the user says how many, or where a cluster runs the jobs.
    """
    theirs = {"--resources", "--res", "--workflow-profile", "--profile", "--executor", "-e"}
    if device == "cpu" or any(word.split("=")[0] in theirs for word in arguments):
        return []
    return ["--resources", f"gpu={len(names) * per_gpu}"] if (names := usable()) else []


def lock_folder() -> Path:
    """Where locks lie: of this machine and this user; `LOSSLESS_INR_LOCKS` names another folder.

    Raises
    ------
    UserError
        If it cannot be made, or belongs to somebody else.
    """
    given = os.environ.get("LOSSLESS_INR_LOCKS")
    folder = Path(given or f"{tempfile.gettempdir()}/lossless-inr-gpus-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
    except OSError as error:
        raise UserError(
            f"{folder}: no folder for the locks of GPUs ({error.strerror}); name one of this "
            "machine in LOSSLESS_INR_LOCKS"
        ) from None
    if not given and owner != os.getuid():
        raise UserError(
            f"{folder}: belongs to another user; name a folder of yours on this machine in "
            "LOSSLESS_INR_LOCKS"
        )
    return folder


@contextmanager
def one_gpu(
    device: str, per_gpu: int = 1, *, tell: Callable[[str], None] = lambda line: None
) -> Iterator[str | None]:
    """Have one GPU for the body, waiting for a free one; nothing where there is none.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        With "cpu", no GPU is asked for.
    per_gpu : int
        Processes that may have the same GPU, e.g. under CUDA MPS; GPUs fill up evenly.
    tell : callable
        Gets a line when waiting takes long.

    Yields
    ------
    str or None
        UUID, which `CUDA_VISIBLE_DEVICES` now is; None leaves everything as it was.
    """
    names = [] if device == "cpu" else usable()
    if not names:
        yield None
        return
    folder, begun, told = lock_folder(), time.monotonic(), 0.0
    while (taken := _take(folder, names, per_gpu)) is None:
        waited = time.monotonic() - begun
        if waited >= told + TELL:
            told = waited
            tell(f"waiting for a free GPU, all {len(names)} are taken ({waited:.0f} s so far)")
        time.sleep(LOOK)
    name, lock = taken
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = name
    try:
        yield name
    finally:
        if before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before
        lock.release()


def _take(folder: Path, names: list[str], per_gpu: int) -> tuple[str, FileLock] | None:
    """A GPU's free lock: the first places of all GPUs before the second of any."""
    for place in range(per_gpu):
        for name in names:
            lock = FileLock(folder / f"{name.replace('/', '_')}.{place}.lock", timeout=0)
            try:
                lock.acquire()
                return name, lock
            except Timeout:
                continue
            except OSError as error:
                raise UserError(
                    f"{folder}: GPUs cannot be locked there ({error.strerror}); name a folder of "
                    "this machine in LOSSLESS_INR_LOCKS"
                ) from None
    return None
