"""`lossless-inr data`: one set from the table to prepared signals, with progress."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.prepare import choose, obtain_set, prepare_all
from lossless_inr.datasets.store import Store
from lossless_inr.errors import UserError
from lossless_inr.experiments.spec import Config
from lossless_inr.schema import load

CONSOLE = Console(stderr=True)


class Downloads:
    """Bars of the files that are on their way: bytes, speed, time left."""

    def __init__(self):
        self.bars = Progress(
            TextColumn("{task.description}"),
            *(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()),
            console=CONSOLE,
            transient=True,
        )
        self.tasks = {}

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """Show that `done` of `total` bytes of a file are here."""
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name, total=total)
        self.bars.update(self.tasks[name], completed=done, total=total)
        if total is not None and done >= total:
            self.bars.remove_task(self.tasks.pop(name))


class _Lines(logging.Handler):
    """One unwrapped line per message."""

    def emit(self, record):
        """Print it."""
        CONSOLE.print(record.getMessage(), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def messages():
    """Warnings of the rooms below go to the terminal, above any bar."""
    handler = _Lines()
    logger = logging.getLogger("lossless_inr")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def fetch_and_prepare(
    dataset: str,
    *,
    mirror: str = "",
    sizes: Iterable[str] | None = None,
    only: Iterable[str] | None = None,
    root: Path = Path("."),
) -> None:
    """Fetch what is missing of a set and prepare it under `data/prepared/`.

    What can be had is prepared even if other files cannot.

    Raises
    ------
    UserError
        For an unknown set, name or size; for the first file that could not be had or prepared.
    """
    config = load(Config, root / "config/config.yaml")
    catalog = Catalog(root / config.datasets, root)
    downloads = Downloads()
    store = Store(catalog, mirror or config.fetch.mirror, config.fetch.limit, downloads)
    problem = None
    with messages(), downloads.bars:
        try:
            catalog, entries = obtain_set(catalog, store, dataset, only)
        except UserError as error:
            problem, catalog = error, store.catalog
            if dataset not in catalog.sets() or dataset in catalog.unlisted:
                raise
            entries = choose(catalog, dataset, only)
    absent = {entry.name for entry in store.missing(entries)}
    ready = [entry for entry in entries if entry.name not in absent]
    signals = [f"{e.set}/{size}/{e.name}" for e in ready for size in sizes or e.sizes]
    for signal in signals:
        catalog.find(signal)  # a size that does not fit is told before any work
    with (
        messages(),
        Progress(
            TextColumn("preparing"),
            *(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
            console=CONSOLE,
            transient=True,
        ) as bar,
    ):
        task = bar.add_task("preparing", total=len(signals))
        folder = root / "data/prepared"
        faults = prepare_all(catalog, signals, folder, lambda signal: bar.advance(task))
    pinned = sum(signal in catalog.pins for signal in signals)
    CONSOLE.print(
        f"{dataset}: {len(signals) - len(faults)} signals in data/prepared/{dataset}, "
        f"{pinned} of them with pinned samples",
        highlight=False,
        soft_wrap=True,
    )
    for fault in faults[1:]:
        CONSOLE.print(f"error: {fault}", highlight=False, soft_wrap=True)
    if faults:
        raise UserError(faults[0])
    if problem:
        raise problem
