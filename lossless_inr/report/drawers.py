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
    items = []
    records = [Record.load(results / folder / "record.json") for folder in fits.folder]
    shown = _all_pictures(fits, records, results, prepared, curve_of)
    for (_, row), name, record in zip(fits.iterrows(), with_widths(fits), records, strict=True):
        # The quotes make the command safe to paste whatever the names are.
        path = shlex.quote(f"results/{scale}/{row.folder}/record.json")
        items.append(
            {
                "id": anchor(row.spec_digest),
                "digest": row.spec_digest,
                "name": name,
                "row": row,
                "record": record,
                "settings": record.spec.settings.model_dump(exclude_none=True),
                "command": f".venv/bin/lossless-inr rerun {path}",
                "pictures": shown.get(row.spec_digest),
                "left_out": row.spec_digest not in shown,
            }
        )
    return items


def _all_pictures(fits, records, results, prepared, curve_of) -> dict[str, dict | None]:
    """Pictures by digest: first of one fit of every method, then of a second one, while they fit.

    None is a fit of which there is nothing to show; one that is left out for its weight is absent.
    """
    record_of = dict(zip(fits.spec_digest, records, strict=True))
    side, room = pictures.largest_side(len(fits)), pictures.room_for(len(fits))
    nth = fits.groupby(["method", "variant", "width", "bits"]).cumcount()
    signals: dict[str, Signal | None] = {}
    shown: dict[str, dict | None] = {}
    for _, row in fits.loc[nth.sort_values(kind="stable").index].iterrows():
        if row.signal not in signals:
            file = prepared / f"{row.signal}.npz"
            signals[row.signal] = Signal.load(file) if file.is_file() else None
        record = record_of[row.spec_digest]
        of_fit = _pictures(row, results, signals[row.signal], record, side, curve_of)
        room -= pictures.weight(of_fit)
        if room < 0:
            break
        shown[row.spec_digest] = of_fit
    return shown


def _pictures(row, results, signal, record, side, curve_of) -> dict | None:
    decoded = results / row.folder / "decoded.npz"
    if row.status == "failed" or signal is None or not decoded.is_file():
        return None
    # Another version of the signal is not what was fitted.
    if signal.sha256 != record.signal_sha256:
        return None
    with np.load(decoded, allow_pickle=False) as archive:
        best = archive["best"].astype(np.int64)
    return pictures.of_fit(row, curve_of(row), best, signal, side)
