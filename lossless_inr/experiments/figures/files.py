"""What the figures read of a fit beside its row in the table: its curve and its integers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from lossless_inr.fitting import packs

# A curve of 50,000 iterations is drawn through this many of them, evenly spread over log(1 + t).
DRAWN_ITERATIONS = 300


def load_curve(fit: pd.Series, results: Path) -> pd.DataFrame:
    """Integer counts of every iteration of a fit."""
    return packs.curve_of(results, fit)


def load_decoded(fit: pd.Series, results: Path, which: str) -> np.ndarray:
    """What a fit decoded to, at its `last` iteration or at its `best` (smallest RMSE)."""
    with np.load(results / fit.folder / "decoded.npz", allow_pickle=False) as archive:
        return archive[which].astype(np.int64)


def why_absent(fit: pd.Series, results: Path) -> str:
    """Why a fit cannot be drawn; empty if it can."""
    if fit.status == "failed":
        return "failed"
    if pd.isna(fit.best_squared_error):
        return f"{fit.status} before its first count"
    here = packs.has_curve(results, fit) and (results / fit.folder / "decoded.npz").is_file()
    return "" if here else "its files are gone"


def plane_columns(bits: int) -> list[str]:
    """Columns of a curve that count wrong bits, most significant first."""
    return [f"plane_{i}" for i in reversed(range(bits))]


def spread_iterations(last: int, count: int = DRAWN_ITERATIONS) -> np.ndarray:
    """At most `count` iterations of 0 ... last, both included, evenly over log(1 + t).

    Examples
    --------
    >>> spread_iterations(100, 5).tolist()
    [0, 2, 9, 31, 100]
    """
    return np.unique(np.round(np.expm1(np.linspace(0, np.log1p(last), count))).astype(int))


def flops_at(fit: pd.Series, iterations: np.ndarray) -> np.ndarray:
    """FLOPs spent when these iterations had been counted.

    An iteration costs 6 FLOPs per multiply-accumulate; at the end of a budget the weights are
    looked at once more, without an update. Iterations that saw a part of the positions share
    what is left of the fit's total.
    """
    each = 6.0 * float(fit.macs_per_row) * float(fit.rows)
    total, done = float(fit.flops), np.asarray(iterations) + 1.0
    spent = done * each
    if sparse := re.match(r"exact from (\d+)", str(fit.exactness)):
        start = int(sparse[1])
        saved = (fit.iterations + 1) * each - total
        spent = spent - saved * np.minimum(done, start) / start
    return np.minimum(spent, total)


def longest_runs(fits: pd.DataFrame, results: Path) -> pd.DataFrame:
    """Without fits whose whole curve is the beginning of another's.

    A constant rate does not know its budget, so the same fit with a longer one goes through the
    same integers. Where it does not, both stay.
    """
    keys = ["signal", "network", "representation", "variant", "recipe", "seed", "width"]
    repeated = set()
    for _, group in fits.groupby(keys, sort=False):
        group = group.sort_values("budget", kind="stable")
        curves = [load_curve(fit, results) for _, fit in group.iterrows()] if len(group) > 1 else []
        for k in range(len(curves) - 1):
            columns = plane_columns(group.bits.iloc[k])
            shorter = curves[k][columns].to_numpy()
            longer = curves[k + 1][columns].to_numpy()[: len(shorter)]
            if np.array_equal(shorter, longer):
                repeated.add(group.index[k])
    return fits.drop(index=list(repeated))
