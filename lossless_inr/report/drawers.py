"""A drawer for every fit: its settings, provenance, pictures and the command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from lossless_inr.fitting.record import Record
from lossless_inr.report import pictures
from lossless_inr.report.labels import with_widths
from lossless_inr.signals import Signal


def anchor(digest: str) -> str:
    """Identifier of a fit's drawer in the page."""
    return f"fit-{digest[:12]}"


def drawers(
    fits: pd.DataFrame,
    results: Path,
    prepared: Path,
    scale: str,
    curve_of: Callable[[pd.Series], pd.DataFrame],
) -> list[dict]:
    """What the drawer of each fit shows, in the order of `fits`.

    Parameters
    ----------
    fits : DataFrame
    results, prepared : Path
        `results/<scale>` and the folder of prepared signals; a fit whose signal or decoded samples
        are no longer there has no pictures.
    scale : str
    curve_of : callable
        Row of `fits` -> its curve.
    """
    items, signals, side = [], {}, pictures.largest_side(len(fits))
    names = with_widths(fits)
    for index, row in fits.iterrows():
        record = Record.load(results / row.folder / "record.json")
        if row.signal not in signals:
            file = prepared / f"{row.signal}.npz"
            signals[row.signal] = Signal.load(file) if file.is_file() else None
        # The quotes make the command safe to paste whatever the names are.
        shown = f"results/{scale}/{row.folder}/record.json"
        items.append(
            {
                "id": anchor(row.spec_digest),
                "digest": row.spec_digest,
                "name": names[index],
                "row": row,
                "record": record,
                "settings": record.spec.settings.model_dump(exclude_none=True),
                "command": f".venv/bin/lossless-inr rerun {shlex.quote(shown)}",
                "pictures": _pictures(row, results, signals[row.signal], record, side, curve_of),
            }
        )
    return items


def _pictures(row, results, signal, record, side, curve_of) -> dict | None:
    decoded = results / row.folder / "decoded.npz"
    if row.status == "failed" or signal is None or not decoded.is_file():
        return None
    # Another version of the signal is not what was fitted.
    if signal.sha256 != record.signal_sha256:
        return None
    with np.load(decoded) as archive:
        best = archive["best"].astype(np.int64)
    return pictures.of_fit(row, curve_of(row), best, signal, side)
