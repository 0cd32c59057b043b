"""What every workflow script shares: its log, its way to end, and progress over shards."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lossless_inr.errors import PluginError, UserError
from lossless_inr.files import REFUSALS, refusal
from lossless_inr.seals import not_from_the_future, seal

# Set by workflow/rules/common.smk: process id of the Snakemake that started this job.
WORKFLOW = "LOSSLESS_INR_WORKFLOW"
# Seconds between two looks whether it still lives.
LOOK = 0.5

# Seconds between two readings of all counters, in units of what the last one took.
READING = 100


@contextmanager
def job(snakemake) -> Iterator[dict[str, str]]:
    """Run a script's body: bad input is one line, a fault leaves its traceback in the log.

    Standard error goes to the log; the line a user must see goes to both. SIGTERM ends the body
    like Ctrl-C, so that files in the middle of being written are left behind under their
    temporary names only; so does the end of the workflow that started it. What the body wrote is
    sealed when it is done (see `seals`).

    Parameters
    ----------
    snakemake
        What Snakemake gives a script.

    Yields
    ------
    dict of str to str
        For files besides the declared outputs that are to be sealed: path -> sha256.
    """
    log, kept = str(snakemake.log[0]), {}
    terminal = os.dup(2)

    def tell(line: str) -> None:
        for descriptor in (terminal, 2):
            # The terminal may be gone with the workflow, the log's disk may be full.
            with suppress(OSError):
                os.write(descriptor, f"{line}\n".encode())

    def interrupted(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)  # until now its end, see workflow/start
    job.tell = tell
    try:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(file, 2)
        os.close(file)
        end_with_workflow()
        yield kept
        not_from_the_future(map(str, snakemake.input))
        seal(log, [*map(str, snakemake.output)], [*map(str, snakemake.input)], kept)
    except (UserError, PluginError) as error:
        tell(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        tell("interrupted; finished fits are kept, the same command goes on from here")
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in REFUSALS:
            tell(f"error: {error.filename or snakemake.output[0]}: {refusal(error)}")
            sys.exit(1)
        with suppress(OSError):
            traceback.print_exc()
        tell(f"error: {type(error).__name__}: {error} (traceback in {log})")
        sys.exit(1)


def end_with_workflow() -> None:
    """End this process like Ctrl-C when the Snakemake that started it is killed.

    Otherwise its fits would go on beside those of the next run.
    """
    import psutil

    # Not by its time of creation, which a clock that is set changes; an ancestor is on this
    # machine.
    number = os.environ.get(WORKFLOW, "")
    workflow = next((p for p in psutil.Process().parents() if str(p.pid) == number), None)
    if workflow is None:
        return

    def lives() -> bool:
        try:
            return workflow.is_running() and workflow.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def watch() -> None:
        while lives():
            time.sleep(LOOK)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def tell(line: str) -> None:
    """Print a line on the terminal and in the job's log."""
    job.tell(line)


class _Told(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())


def tell_warnings() -> None:
    """Tell the user what this package warns of, on the terminal and in the job's log."""
    logging.getLogger("lossless_inr").addHandler(_Told())


class Progress:
    """Fits done of all shards, from one small counter file per shard.

    Parameters
    ----------
    folder : Path
        Holds `<shard>.count` files; shared by the shards of a scale.
    shard : str
        This process' shard.
    sizes : dict of str to int
        Fits per shard, over all shards.
    every : float
        Seconds between lines about a running fit.
    """

    def __init__(self, folder: Path, shard: str, sizes: dict[str, int], every: float = 10.0):
        self.folder, self.shard, self.sizes, self.every = Path(folder), shard, sizes, every
        self.folder.mkdir(parents=True, exist_ok=True)
        self.finished, self._others, self._next = 0, 0, 0.0
        self._write()

    def _write(self) -> None:
        (self.folder / f"{self.shard}.count").write_text(str(self.finished))

    def done(self) -> int:
        """Fits done by all shards so far.

        The others' counters are read again when that has come to cost less than a hundredth of
        the time since: with a thousand shards on a network file system it takes seconds.
        """
        now = time.monotonic()
        if now >= self._next or self.finished >= self.sizes.get(self.shard, 0):
            self._others = sum(
                self._counted(name, size) for name, size in self.sizes.items() if name != self.shard
            )
            end = time.monotonic()
            self._next = end + READING * (end - now)
        return self._others + min(self.finished, self.sizes.get(self.shard, self.finished))

    def _counted(self, name: str, size: int) -> int:
        try:
            return min(size, int((self.folder / f"{name}.count").read_text()))
        except (OSError, ValueError):  # not begun, or being written this very moment
            return 0

    def begin(self, title: str, bits: int, budget: int) -> None:
        """Start reporting on one fit."""
        self.title, self.bits, self.budget = title, bits, budget
        self.start = self.last = time.monotonic()

    def __call__(self, iteration: int, wrong: int) -> None:
        """Called by the loop after every iteration; prints now and then."""
        now = time.monotonic()
        if now - self.last < self.every:
            return
        self.last = now
        left = (now - self.start) / max(iteration, 1) * (self.budget - iteration)
        tell(
            f"[{self.done()}/{sum(self.sizes.values())} fits] {self.title}: iteration {iteration} "
            f"of at most {self.budget}, BER {wrong / self.bits:.2e}, at most {left:.0f} s left"
        )

    def end(self, line: str) -> None:
        """Count the fit as done and print its outcome."""
        self.finished += 1
        self._write()
        tell(f"[{self.done()}/{sum(self.sizes.values())} fits] {self.title}: {line}")
