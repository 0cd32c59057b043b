"""Fits over seeds and signals: times with censored fits, qualities with infinities, paired tests.

A fit that stopped before it was lossless is *censored*: it takes longer than it was given. It is
never dropped, and its time never averaged. Signals are what is counted: their seeds come first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lossless_inr.metrics import psnr

# With five pairs the smallest two-sided p of the signed-rank test is 2 / 2**5 = 0.0625.
FEWEST_PAIRS = 6


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@dataclass(frozen=True)
class Summary:
    """Times to lossless over signals, in the unit they came in.

    Attributes
    ----------
    n, reached : int
        Signals, and those of them that are not censored.
    median, bound : float or None
        Kaplan-Meier's median or, where it is not reached, a time that it certainly exceeds.
    mean, std : float or None
        None as soon as one signal is censored; `std` (over n - 1) also for a single signal.
    """

    n: int
    reached: int
    median: float | None
    bound: float | None
    mean: float | None
    std: float | None

    def text(self) -> str:
        """`790 ± 109 (median 781)`, `1,204 (5 of 6)` or `> 1,000 (2 of 6)`."""
        if self.median is None:
            return f"> {_number(self.bound)} ({self.reached} of {self.n})"
        if self.mean is None:
            return f"{_number(self.median)} ({self.reached} of {self.n})"
        deviation = f" ± {_number(self.std)} (median {_number(self.median)})" if self.n > 1 else ""
        return _number(self.mean) + deviation


def _kaplan_meier(times: np.ndarray, censored: np.ndarray) -> float | None:
    """Kaplan and Meier's median (JASA 1958), or None if their curve stays at one half or above.

    Where the curve rests at exactly one half, the middle of that stretch is taken, as R's
    `survfit` does: without censoring this is the ordinary median, so the two never jump apart.
    """
    data = stats.CensoredData(uncensored=times[~censored], right=times[censored])
    curve = stats.ecdf(data).sf
    half = np.isclose(curve.probabilities, 0.5)  # products of fractions, so not exactly
    below = (curve.probabilities < 0.5) & ~half
    if not below.any():
        return None
    crossed = curve.quantiles[below][0]
    return float((curve.quantiles[half][0] + crossed) / 2 if half.any() else crossed)


def summarise_times(times, censored) -> Summary:
    """Times over signals: a mean only if nothing is censored.

    Parameters
    ----------
    times : array_like of float, (n,)
        Time to lossless; where `censored`, the time that was not enough.
    censored : array_like of bool, (n,)
    """
    times, censored = np.asarray(times, dtype=float), np.asarray(censored, dtype=bool)
    if times.shape != censored.shape or times.ndim != 1 or not len(times):
        raise ValueError(f"{len(times)} times, {len(censored)} flags; need one of each at least")
    if not np.isfinite(times).all() or (times < 0).any():
        raise ValueError("every time is finite and not negative; a censored one is its cap")
    n, reached, median = len(times), int((~censored).sum()), _kaplan_meier(times, censored)
    # Every true time is at least the one given, hence so is their median: the cap if more than
    # half are censored there, and half-way to it if exactly half are.
    bound = float(np.median(times)) if median is None else None
    mean = float(times.mean()) if reached == n else None
    std = float(times.std(ddof=1)) if reached == n > 1 else None
    return Summary(n, reached, median, bound, mean, std)


def per_signal(fits: pd.DataFrame, cost: str = "iterations") -> pd.DataFrame:
    """Time to lossless of each signal: the median over its seeds, as no mean survives censoring.

    Where that is not reached, the signal is censored at a time that it certainly exceeds. A fit
    that diverged counts with its whole budget, as with the little it spent it looks hardly tried.

    Parameters
    ----------
    fits : DataFrame
        Rows of the table of fits, of one method.
    cost : {"iterations", "flops", "seconds"}

    Returns
    -------
    DataFrame, indexed by signal
        `time`, `censored`, and the counts `seeds` and `lossless`.

    Raises
    ------
    ValueError
        If a fit failed or has no such cost: that it was not measured is the caller's to say.
    """
    missing = (fits.status == "failed") | fits[cost].isna()
    if missing.any():
        raise ValueError(f"{missing.sum()} of {len(fits)} fits have no {cost}; leave them out")
    # Both counts begin at 0: a budget of k updates looks at the network k + 1 times.
    given = fits[cost].astype(float)
    share = (fits.iterations + 1) / (fits.budget + 1)
    whole = fits.budget if cost == "iterations" else given / share
    censored = fits.status != "lossless"
    table = pd.DataFrame({"time": given.mask(censored, whole), "censored": censored})
    if not np.isfinite(table.time).all() or (table.time < 0).any():
        raise ValueError("every time is finite and not negative; a censored one is its cap")
    groups = table.groupby(fits.signal, sort=False)
    found = groups.time.median().to_frame()
    missed = groups.censored.sum()
    found["seeds"] = groups.size()
    found["lossless"] = found.seeds - missed
    # Of seeds that all reached it, or none, the median is the ordinary one, or its bound.
    found["censored"] = missed == found.seeds
    mixed = found.index[(missed > 0) & ~found.censored]
    some = table[fits.signal.isin(mixed)]
    for signal, seeds in some.groupby(fits.signal, sort=False):
        of = summarise_times(seeds.time, seeds.censored)
        found.loc[signal, "censored"] = of.median is None
        found.loc[signal, "time"] = of.bound if of.median is None else of.median
    return found[["time", "censored", "seeds", "lossless"]]


def lossless_count(signals: pd.DataFrame) -> str:
    """`k of m`: signals (of `per_signal`) that were lossless with every seed."""
    return f"{int((signals.lossless == signals.seeds).sum())} of {len(signals)}"


def performance_profile(fits: pd.DataFrame, cost="flops", by="method") -> pd.DataFrame:
    """Share of signals that are lossless within a cost, as steps (after Dolan and Moré, 2002).

    Returns
    -------
    DataFrame
        `method`, `cost`, `share` from this cost on, `n` signals and those of them that are
        `censored`. Each method runs from (0, 0) to the largest cost its signals were given.
    """
    rows = []
    for method, group in fits.groupby(by, sort=False):
        signals = per_signal(group, cost)
        n, missed = len(signals), int(signals.censored.sum())
        solved = np.sort(signals.time[~signals.censored])
        for at in sorted({0.0, *solved, signals.time.max()}):
            rows.append(
                (method, at, float(np.searchsorted(solved, at, side="right") / n), n, missed)
            )
    return pd.DataFrame(rows, columns=["method", "cost", "share", "n", "censored"])


@dataclass(frozen=True)
class Spread:
    """A quality over signals; no mean once a value is infinite, and `std` likewise."""

    n: int
    infinite: int
    median: float
    mean: float | None
    std: float | None


def summarise_values(values) -> Spread:
    """Median and, where all values are finite, mean and deviation (over n - 1)."""
    values = np.asarray(values, dtype=float)
    n, infinite = len(values), int(np.isinf(values).sum())
    if not n or np.isnan(values).any():
        raise ValueError("need a value for every signal, and one at least")
    mean = None if infinite else float(values.mean())
    std = None if infinite or n < 2 else float(values.std(ddof=1))
    return Spread(n, infinite, float(np.median(values)), mean, std)


def pooled_psnr(squared_errors, samples, bits: int) -> float:
    """PSNR in dB of all errors together, the form that the paper's columns satisfy."""
    if pd.isna(pd.Series(squared_errors)).any():
        raise ValueError("a fit without squared error cannot be pooled; leave it out and say so")
    # Integers of Python: sums over many pictures of 16 bits come near the end of int64.
    return psnr(sum(map(int, squared_errors)), sum(map(int, samples)), bits)


def signal_psnr(fits: pd.DataFrame, bits: int) -> pd.Series:
    """PSNR of each signal, its seeds pooled; infinite where every seed was lossless."""
    groups = fits.groupby("signal", sort=False)
    values = {name: pooled_psnr(g.best_squared_error, g.samples, bits) for name, g in groups}
    return pd.Series(values, name="psnr", dtype=float).rename_axis("signal")


@dataclass(frozen=True)
class Paired:
    """First against second over signals: signs, and a p value where there are enough pairs."""

    larger: int
    smaller: int
    ties: int
    undecided: int
    p: float | None

    def text(self) -> str:
        """`+4 -1 =0`, with ` ?2` for pairs whose caps do not tell which is larger."""
        undecided = f" ?{self.undecided}" if self.undecided else ""
        return f"+{self.larger} -{self.smaller} ={self.ties}{undecided}"


def paired_values(first: pd.Series, second: pd.Series, undecided=None) -> Paired:
    """Compare a value (which may be infinite) on the signals that both have.

    p is that of Wilcoxon's two-sided signed-rank test, from 6 pairs on; ties are left out of its
    ranks, and 1 if all are. With one `undecided` (flags by signal) it is None: without the hard
    signals it would mislead.
    """
    a, b = first.astype(float).align(second.astype(float), join="inner")
    if a.isna().any() or b.isna().any():
        raise ValueError("a pair needs both its values; leave the signal out and say so")
    difference = (a - b).mask(a == b, 0.0)  # also of infinities, which have no difference
    known, p = difference if undecided is None else difference[~undecided], None
    if len(known) == len(a) >= FEWEST_PAIRS:
        p = float(stats.wilcoxon(known).pvalue) if known.any() else 1.0
    larger, smaller = int((known > 0).sum()), int((known < 0).sum())
    return Paired(larger, smaller, len(known) - larger - smaller, len(a) - len(known), p)


def paired_times(first: pd.DataFrame, second: pd.DataFrame) -> Paired:
    """Compare times (of `per_signal`) on the signals that both have.

    A censored time is larger than any within its cap, and as the difference has no size it ranks
    above every other (worst rank). Two censored at one cap are a tie.
    """
    a, b = first.align(second, join="inner", axis=0)
    # The shorter time is a cap, and the other lies beyond it.
    undecided = (a.censored & (b.time > a.time)) | (b.censored & (a.time > b.time))
    return paired_values(*(t.time.mask(t.censored, math.inf) for t in (a, b)), undecided)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust the p values of a family (Holm, 1979); None (no test) stays and does not count."""
    adjusted, last = list(p_values), 0.0
    tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    for rank, (p, i) in enumerate(tested):
        last = adjusted[i] = max(last, min(1.0, (len(tested) - rank) * p))
    return adjusted
