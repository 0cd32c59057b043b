"""Who works in this folder, and the locks that runs leave behind. Imports no torch.

A run holds `.snakemake/lossless-inr.lock`, which the operating system frees when its holder dies,
however it dies. Snakemake's own lock files stay behind after a kill. Its jobs end by themselves
when it is killed (see `jobs`), within a second or with the iteration they are in.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from lossless_inr.errors import UserError

OWN_LOCK = Path(".snakemake/lossless-inr.lock")
LOCKS = Path(".snakemake/locks")
# Without this folder Snakemake takes its notes for those of an old version, and reads them all.
UNFINISHED = Path(".snakemake/incomplete")
# The module that starts outside programs.
OUTSIDE = "lossless_inr.baselines.launch"
# Seconds that jobs of a killed run get to end.
PATIENCE = 60.0


def _processes_here() -> Iterator[tuple[int, list[str]]]:
    """(process id, command line) of what runs in this folder, but for this process' ancestors."""
    here, own = Path.cwd(), {p.pid for p in psutil.Process().parents()} | {psutil.Process().pid}
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            words = process.info["cmdline"] or []
            if any("snakemake" in word or word == OUTSIDE for word in words):
                running = process.status() != psutil.STATUS_ZOMBIE
                if running and process.pid not in own and Path(process.cwd()) == here:
                    yield process.pid, words
        except (psutil.Error, OSError):
            continue


def workflow_here() -> int | None:
    """Process id of a Snakemake that works in this folder, if there is one."""
    for number, words in _processes_here():
        if any(Path(word).name == "snakemake" for word in words[:3]) and not _of_cluster(words):
            return number
    return None


def _of_cluster(words: list[str]) -> bool:
    """Whether a command is a cluster's job, on this very machine: its executor sees to it."""
    return ("--mode", "remote") in itertools.pairwise(words)


def jobs_here() -> list[int]:
    """Process ids of jobs of a workflow in this folder."""
    return [
        number
        for number, words in _processes_here()
        if any(".snakemake/scripts/" in word or word == OUTSIDE for word in words[:3])
        and not _below_cluster(number)
    ]


def _below_cluster(number: int) -> bool:
    try:
        return any(_of_cluster(parent.cmdline()) for parent in psutil.Process(number).parents())
    except psutil.Error:  # it, or its parent, has ended meanwhile
        return False


@contextmanager
def only_run() -> Iterator[None]:
    """Be the only run in this folder, and free of what a killed one left.

    Raises
    ------
    UserError
        If a run works here, or a job of a killed one does not end.
    """
    UNFINISHED.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(OWN_LOCK, timeout=0):
            if (other := workflow_here()) is not None:
                raise UserError(
                    f"snakemake (process {other}) already works in this folder; wait for it"
                )
            deadline = time.monotonic() + PATIENCE
            while jobs := jobs_here():
                if time.monotonic() > deadline:
                    raise UserError(
                        f"a job of a killed run (process {jobs[0]}) still works in this folder; "
                        "wait for it, or stop it"
                    )
                time.sleep(0.2)
            _remove_snakemakes()
            yield
    except Timeout:
        raise UserError("another run already works in this folder; wait for it") from None


def _remove_snakemakes() -> list[Path]:
    """Remove Snakemake's lock files; `snakemake --unlock` does no more, but needs a sound plan."""
    found = sorted(LOCKS.glob("*.lock"))
    for path in found:
        path.unlink()
    return found


def _held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def unlock() -> list[str]:
    """Remove locks that a killed run left in this folder.

    `run` does so by itself; this is for plain `snakemake`, and to see what is locked.

    Returns
    -------
    list of str
        What was done and what is still locked, a line each.

    Raises
    ------
    UserError
        If a run, or a job of one, works here: nothing is removed then.
    """
    if (other := workflow_here()) is not None:
        raise UserError(f"snakemake (process {other}) works in this folder; nothing is unlocked")
    if jobs := jobs_here():
        raise UserError(
            f"a job (process {jobs[0]}) works in this folder; nothing is unlocked. Wait for it, or "
            "stop it"
        )
    if OWN_LOCK.exists() and _held(OWN_LOCK):
        raise UserError("a run works in this folder; nothing is unlocked")
    lines = [f"removed {path}, left by a killed run" for path in _remove_snakemakes()]
    lines += [
        f"{path.parent} is being written by a process on another machine, or by one that hangs; "
        "left alone"
        for path in sorted(Path("results").glob("*/records/**/.lock"))
        if _held(path)
    ]
    return lines or ["nothing is locked"]
