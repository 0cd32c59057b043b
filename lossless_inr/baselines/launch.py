"""Run one step of an outside program under a time limit; its end becomes a note, not a fault.

    python -m lossless_inr.baselines.launch FOLDER LIMIT STEP program arguments ...

The step's seconds and how it ended are added to `FOLDER/run.json`. A step is skipped where an
earlier one failed. The exit code is 0, so that a broken program becomes a row of the table
instead of the end of the workflow; unless the disk is what refused it, which is nobody's result.
What a step leaves is sealed (see `seals`). Standard library only, and psutil where it is there:
the program's own environment, e.g. of conda, may be active.

With `--build FILE LIMIT program ...`, the command makes FILE (a compiler); where that fails, FILE
becomes a script that says why and fails.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from lossless_inr import seals
from lossless_inr.files import REFUSALS, refusal, write

NOTES = "run.json"
# Characters of standard error that are kept as the reason.
MOST_REASON = 300


def run_step(command: list[str], limit: float) -> tuple[float, str]:
    """Run a command in a process group of its own.

    Parameters
    ----------
    command : list of str
    limit : float
        Seconds after which the group is killed.

    Returns
    -------
    seconds : float
        Wall-clock, the start of the process included.
    reason : str
        Why it failed; "" if it ended well.
    """
    begun = time.perf_counter()
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        return time.perf_counter() - begun, f"cannot be started: {command[0]}: {error.strerror}"
    try:
        _, told = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return time.perf_counter() - begun, f"stopped after its time limit of {limit:g} s"
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    seconds = time.perf_counter() - begun
    sys.stderr.write(told.decode(errors="replace"))
    if process.returncode == 0:
        return seconds, ""
    if process.returncode < 0:
        how = f"killed by {signal.Signals(-process.returncode).name}"
    else:
        how = f"exit code {process.returncode}"
    lines = told.decode(errors="replace").strip().splitlines()
    return seconds, f"{how}: {lines[-1][:MOST_REASON]}" if lines else how


def step(folder: Path, name: str, limit: float, command: list[str]) -> None:
    """Run a step and note how it ended in `folder/run.json`.

    Parameters
    ----------
    folder : Path
        The program's answer to one signal; made if it is missing.
    name : str
        Of the step, e.g. encode. After a step that failed no other is run.
    limit : float
        Seconds.
    command : list of str
    """
    folder.mkdir(parents=True, exist_ok=True)
    notes = folder / NOTES
    steps = json.loads(notes.read_text()) if notes.is_file() else []
    if any(one["reason"] for one in steps):
        return
    seconds, reason = run_step(command, limit)
    # The program may have removed its folder, or put something else at this name.
    folder.mkdir(parents=True, exist_ok=True)
    _blame_disk(reason, folder)
    steps.append({"step": name, "command": command, "seconds": seconds, "reason": reason})
    write(notes, json.dumps(steps, indent=1).encode())
    _seal(folder)


def _blame_disk(reason: str, folder: Path) -> None:
    """Raise what the disk says, if that is why a program failed."""
    if not reason:
        return
    for code in (errno.ENOSPC, errno.EDQUOT):
        if os.strerror(code) in reason:
            raise OSError(code, os.strerror(code), str(folder))
    probe = folder / f".room-{os.getpid()}"
    try:
        with open(probe, "wb") as file:
            file.write(bytes(1 << 16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(folder)
        raise
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _seal(made: Path) -> None:
    """Seal what a job of the workflow has made, so that damage to it is found."""
    if made.parts[:1] == ("results",):
        log = Path("logs", *made.parts[1:]).with_name(f"{made.name}.log")
        seals.seal(str(log), [str(made)], [], {})


def build(target: Path, limit: float, command: list[str]) -> None:
    """Make `target` with a command, or a script in its place that says why there is none.

    Parameters
    ----------
    target : Path
        The program's file.
    limit : float
        Seconds.
    command : list of str
        E.g. a compiler, which writes `target`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    _, reason = run_step(command, limit)
    _blame_disk(reason, target.parent)
    if not reason and not target.is_file():
        reason = "ended well but wrote nothing"
    if reason:
        told = shlex.quote(f"not built: {reason}")
        target.write_text(f"#!/bin/sh\necho {told} >&2\nexit 1\n")
        target.chmod(0o755)
    _seal(target)


def main(arguments: list[str]) -> None:
    """Command line, see the module's docstring."""

    def ended(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, ended)
    with suppress(ImportError):
        from lossless_inr.jobs import end_with_workflow

        end_with_workflow()
    try:
        if arguments[0] == "--build":
            _, target, limit, *command = arguments
            build(Path(target), float(limit), command)
        else:
            folder, limit, name, *command = arguments
            step(Path(folder), name, float(limit), command)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        print(f"error: {error.filename or command[0]}: {refusal(error)}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
