"""Processes that fit tiles side by side, and end when their parent does."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait as wait_for

import numpy as np
import torch

from lossless_inr.errors import UserError
from lossless_inr.models.jobs import Job
from lossless_inr.models.kept import to_bytes
from lossless_inr.models.tiles import fit_tiles

# Seconds between two words of a worker about its running batch.
WORD_EVERY = 0.2

_WORDS = None  # of a worker process: where it tells how far it is


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def end_with_parent() -> None:
    """Let this process end when its parent is gone, however that ended."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def sheltered() -> Iterator[None]:
    """Start processes that know nothing of Ctrl-C, nor of the script that this one runs.

    Ctrl-C goes to the whole group: the parent alone decides, from a child's first moment on. And a
    spawned child would run the caller's script again, where that has no `if __name__ ==
    "__main__":`; our workers need nothing of it.
    """
    main = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    before = {name: vars(main)[name] for name in names if name in vars(main)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    vars(main).pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def pool_of(count: int, initializer=end_with_parent, initargs=()) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes that are ended, not waited for, when something goes wrong."""
    pool = ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=initializer,
        initargs=initargs,
    )
    try:
        yield pool
    except BrokenProcessPool:
        raise UserError(
            "a worker process was killed (out of memory?); finished tiles are kept, the same "
            "command goes on"
        ) from None
    finally:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


def in_fresh_process(function, *arguments):
    """Result of a function in a process that has seen nothing.

    Raises
    ------
    UserError
        If the process is killed.
    """
    with pool_of(1) as pool:
        with sheltered():
            future = pool.submit(function, *arguments)
        return future.result()


def _begin(words) -> None:
    global _WORDS
    _WORDS = words
    end_with_parent()
    torch.set_num_threads(1)


def _work(job: Job, tiles: dict[int, np.ndarray]) -> bytes:
    last = 0.0
    key = next(iter(tiles))

    def tell(iteration: int, wrong: int) -> None:
        nonlocal last
        if (now := time.monotonic()) - last > WORD_EVERY:
            last = now
            _WORDS.put((key, iteration, wrong))

    # Bytes, because tensors would travel as open files, of which a process may have only so many.
    return to_bytes(fit_tiles(job, tiles, torch.device("cpu"), tell), job.identity)


def work_off(
    job: Job,
    tasks: list[list[int]],
    cut: Callable[[list[int]], dict[int, np.ndarray]],
    *,
    workers: int,
    done: Callable[[bytes], None],
    tell: Callable[[dict[int, tuple[int, int]]], None],
) -> None:
    """Fit tasks on several processes.

    Parameters
    ----------
    job : Job
    tasks : list of list of int
        Tiles that are fitted together.
    cut : callable
        The samples of a task's tiles.
    workers : int
    done : callable
        Gets each finished task as bytes (`kept.to_bytes`).
    tell : callable
        Called several times a second while tasks are left, with first tile of a running task ->
        (iteration, wrong bits); what it raises ends the work.
    """
    words = multiprocessing.get_context("spawn").Queue()
    with pool_of(min(workers, len(tasks)), _begin, (words,)) as pool:
        pending: dict[Future, int] = {}
        waiting = iter(tasks)
        running: dict[int, tuple[int, int]] = {}
        while True:
            # A few in advance, so that no worker waits; more would only hold samples twice.
            with sheltered():
                while len(pending) < 2 * workers and (task := next(waiting, None)):
                    pending[pool.submit(_work, job, cut(task))] = task[0]
            if not pending:
                return
            finished, _ = wait(pending, timeout=WORD_EVERY, return_when=FIRST_COMPLETED)
            with suppress(queue.Empty):
                while True:
                    key, iteration, wrong = words.get_nowait()
                    running[key] = (iteration, wrong)
            for future in finished:
                running.pop(pending.pop(future), None)
                done(future.result())
            if pending:
                tell(running)
