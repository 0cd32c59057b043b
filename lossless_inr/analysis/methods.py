"""Methods over the signals of a group: times and qualities, seeds first, best and last."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from lossless_inr.analysis.statistics import (
    Spread,
    Summary,
    per_signal,
    pooled_psnr,
    signal_psnr,
    summarise_times,
    summarise_values,
)
from lossless_inr.metrics import psnr

METHOD = ["network", "representation", "variant", "recipe", "width"]
GROUP = ["kind", "bits", "shape"]
COSTS = ("iterations", "flops", "samples_seen", "seconds")


def longest(fits: pd.DataFrame) -> pd.DataFrame:
    """Without failed fits, and of those that differ in their budget only, the longest."""
    fits = fits[fits.status != "failed"]
    best = fits.groupby(["signal", "seed", *METHOD]).budget.transform("max")
    return fits[fits.budget == best]


# What is compared; the table of fits has many more columns, which cost time in small groups.
_COLUMNS = [
    *("signal", "seed", "status", "spec_digest", "folder", *METHOD, *GROUP),
    *("iterations", "budget", "flops", "seconds", "samples_seen", "samples"),
    *("ber", "ber_last", "best_squared_error", "rmse_last"),
]


def groups(fits: pd.DataFrame) -> list[tuple[tuple, pd.DataFrame]]:
    """Fits that can be compared: of one kind, depth and size of data."""
    return list(longest(fits[_COLUMNS]).groupby(GROUP, sort=False))


def _times(fits: pd.DataFrame, cost: str) -> Summary | None:
    if fits[cost].isna().any():
        return None
    signals = per_signal(fits, cost)
    return summarise_times(signals.time, signals.censored)


@dataclass(frozen=True)
class MethodSummary:
    """One method over the signals of a group, seeds first.

    Attributes
    ----------
    method : Series
        A fit of it, for its name.
    signals, fits, lossless : int
        `lossless` counts signals that were lossless with every seed.
    times : dict of str to Summary or None
        By `COSTS`; None where it was not measured.
    psnr_pooled, psnr_last_pooled : float or None
        Best over training and last, of all errors together.
    psnr, psnr_last, ber, ber_last : Spread or None
        Per signal, its seeds pooled (PSNR) or averaged (BER).
    """

    method: pd.Series
    signals: int
    fits: int
    lossless: int
    times: dict[str, Summary | None]
    psnr_pooled: float | None
    psnr: Spread | None
    psnr_last_pooled: float | None
    psnr_last: Spread | None
    ber: Spread | None
    ber_last: Spread | None


def _ber(fits: pd.DataFrame, column: str) -> Spread | None:
    if fits[column].isna().any():
        return None
    return summarise_values(fits.groupby("signal", sort=False)[column].mean())


def summarise_methods(fits: pd.DataFrame) -> list[MethodSummary]:
    """Every method of a group (see `groups`), most lossless signals first."""
    found = []
    for _, group in fits.groupby(METHOD, sort=False):
        bits, quality = int(group.bits.iloc[0]), {}
        best, last = group.best_squared_error, group.rmse_last
        if not best.isna().any():
            quality["psnr_pooled"] = pooled_psnr(best, group.samples, bits)
            quality["psnr"] = summarise_values(signal_psnr(group, bits))
        if not last.isna().any():
            # The record keeps the root of the last mean square, a ratio of two integers.
            error = (last.astype(float) ** 2 * group.samples).round()
            quality["psnr_last_pooled"] = psnr(int(error.sum()), int(group.samples.sum()), bits)
            quality["psnr_last"] = summarise_values(
                signal_psnr(group.assign(best_squared_error=error), bits)
            )
        times = {cost: _times(group, cost) for cost in COSTS}
        every = (group.status == "lossless").groupby(group.signal).all()
        names = ("psnr_pooled", "psnr", "psnr_last_pooled", "psnr_last")
        found.append(
            MethodSummary(
                method=group.iloc[0],
                signals=len(every),
                fits=len(group),
                lossless=int(every.sum()),
                times=times,
                ber=_ber(group, "ber"),
                ber_last=_ber(group, "ber_last"),
                **{name: quality.get(name) for name in names},
            )
        )
    return sorted(found, key=lambda m: (-m.lossless / m.signals, -m.signals))
