"""Whole sets: fetch what is missing, then prepare every signal, on all cores."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.store import Store
from lossless_inr.datasets.table import Entry
from lossless_inr.errors import UserError, suggest
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
    signals, faults = list(signals), []
    rows: dict[Path, list[dict]] = {}
    one = partial(_prepare_one, catalog, folder)
    with ProcessPoolExecutor(workers) as pool:
        for signal, result in zip(
            signals,
            pool.map(one, signals, chunksize=max(1, min(50, len(signals) // 16))),
            strict=True,
        ):
            done(signal)
            if isinstance(result, str):
                faults.append(result)
            else:
                rows.setdefault((folder / signal).parent, []).append(result)
    for place, found in rows.items():
        _write_index(place / "index.tsv", found)
    return faults


def _prepare_one(catalog: Catalog, folder: Path, signal: str) -> dict | str:
    """Index row of a prepared signal, or the fault in one line."""
    path = folder / f"{signal}.npz"
    try:
        made = catalog.prepare(signal)
        have = Signal.load(path) if path.exists() else None
    except UserError as error:
        return str(error)
    if have is None or have.metadata() != made.metadata():
        made.save(path)
    return {
        "signal": signal,
        "kind": made.kind,
        "bits": made.bits,
        "shape": "x".join(map(str, made.samples.shape)),
        "sha256": made.sha256,
        "pinned": "yes" if signal in catalog.pins else "no",
    }


def _write_index(path: Path, rows: list[dict]) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, INDEX_COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["signal"]))
    temporary.replace(path)
