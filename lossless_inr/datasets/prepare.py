"""Whole sets: fetch what is missing, then prepare every signal, on all cores."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from filelock import FileLock

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.store import Store
from lossless_inr.datasets.table import Entry
from lossless_inr.errors import UserError, suggest
from lossless_inr.files import refusal, replacing
from lossless_inr.signals import Signal

INDEX_COLUMNS = ("signal", "kind", "bits", "shape", "sha256", "pinned")


def choose(catalog: Catalog, dataset: str, only: Iterable[str] | None = None) -> list[Entry]:
    """Signals of a set, all or those named."""
    entries = catalog.of_set(dataset)
    if not only:
        return entries
    named = {entry.name: entry for entry in entries}
    for name in only:
        if name not in named:
            raise UserError(f"unknown signal '{dataset}/{name}'{suggest(name, named)}")
    return [named[name] for name in only]


def obtain_set(
    catalog: Catalog, store: Store, group: str, only: Iterable[str] | None = None
) -> tuple[Catalog, list[Entry]]:
    """Fetch a set's files; its names first, where they are in the publisher's lists.

    Returns
    -------
    catalog : Catalog
        With the names, if they came with this call.
    entries : list of Entry
    """
    if group in catalog.unlisted:
        store.obtain(catalog.lists[group])
        catalog = Catalog(catalog.path, catalog.root)
        store.catalog = catalog
    entries = choose(catalog, group, only)
    store.obtain(entries)
    return catalog, entries


def prepare_all(
    catalog: Catalog,
    signals: Iterable[str],
    folder: Path,
    done: Callable[[str], None] = lambda signal: None,
    workers: int | None = None,
) -> list[str]:
    """Prepare signals that are not there yet or no longer what the table asks for.

    Parameters
    ----------
    catalog : Catalog
    signals : iterable of str
        As `set/size/name`.
    folder : Path
        `data/prepared`; each set and size gets an `index.tsv`.
    done : callable, optional
        Called with each signal's name.
    workers : int, optional
        Processes; one per core by default.

    Returns
    -------
    list of str
        Faults, one line each; the other signals are prepared all the same.
    """
    signals, faults = list(dict.fromkeys(signals)), []
    rows: dict[Path, list[dict]] = {}
    one = partial(_prepare_one, catalog, folder)
    try:
        with ProcessPoolExecutor(workers) as pool:
            chunk = max(1, min(50, len(signals) // 16))
            for signal, result in zip(
                signals, pool.map(one, signals, chunksize=chunk), strict=True
            ):
                done(signal)
                if isinstance(result, str):
                    faults.append(result)
                else:
                    rows.setdefault((folder / signal).parent, []).append(result)
    except BrokenProcessPool:
        faults.append(
            f"{folder}: a process was killed, probably for memory; run the same command again"
        )
    for place, found in rows.items():
        try:
            write_index(place, found)
        except OSError as error:
            faults.append(f"{place / 'index.tsv'}: {refusal(error)}")
    return faults


def _prepare_one(catalog: Catalog, folder: Path, signal: str) -> dict | str:
    """Index row of a prepared signal, or the fault in one line."""
    path = folder / f"{signal}.npz"
    try:
        made = catalog.prepare(signal)
        if not _is_there(path, made):
            made.save(path)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{path}: {refusal(error)}"
    return index_row(catalog, made)


def _is_there(path: Path, made: Signal) -> bool:
    try:
        return path.exists() and Signal.load(path).metadata() == made.metadata()
    except UserError:  # damaged, and the right one is at hand
        return False


def index_row(catalog: Catalog, signal: Signal) -> dict:
    """What `index.tsv` says of a prepared signal."""
    return {
        "signal": signal.name,
        "kind": signal.kind,
        "bits": signal.bits,
        "shape": "x".join(map(str, signal.samples.shape)),
        "sha256": signal.sha256,
        "pinned": "yes" if signal.name in catalog.pins else "no",
    }


def write_index(place: Path, rows: list[dict]) -> None:
    """Add rows to a folder's `index.tsv`; rows of signals that are gone leave it."""
    path = place / "index.tsv"
    with FileLock(place / ".index.lock"):
        known = {}
        if path.is_file():
            with open(path, newline="", encoding="utf-8", errors="replace") as file:
                old = list(csv.DictReader(file, delimiter="\t"))
            if all(tuple(row) == INDEX_COLUMNS and None not in row.values() for row in old):
                known = {row["signal"]: row for row in old}
        known |= {row["signal"]: row for row in rows}
        with replacing(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, INDEX_COLUMNS, delimiter="\t", lineterminator="\n")
            writer.writeheader()
            for name in sorted(known):
                if (place / f"{name.rpartition('/')[2]}.npz").exists():
                    writer.writerow(known[name])
