"""Which code of integers is lossless soonest, and how often its planes flip.

Offset binary and two's complement differ in one plane, which one holds inverted: for a network
the same task. In both, every plane above a quiet sound's loudness flips at each zero crossing; in
sign-magnitude only the sign does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from lossless_inr.signals.codes import INTEGER_CODES, to_words
from lossless_inr.signals.signal import Signal

USUAL = INTEGER_CODES[0]
# Fits are compared that differ in nothing but the code.
SAME = ["representation", "network", "recipe", "width", "budget"]


@dataclass(frozen=True)
class CodeRow:
    """One signal under one method.

    Attributes
    ----------
    signal : str
    title : str
    bits : int
    peak : float
        Largest distance from the middle of the range, as a share of full scale.
    iterations : dict of str to float
        Code -> mean iterations to lossless over the seeds that every code has; NaN if a fit of
        that code was not lossless.
    flips : dict of str to float
        Code -> bits that differ between neighbouring samples, mean.
    seeds : int
    """

    signal: str
    title: str
    bits: int
    peak: float
    iterations: dict[str, float]
    flips: dict[str, float]
    seeds: int


@dataclass(frozen=True)
class CodeRatio:
    """Iterations of a code over those of offset binary, over signals.

    Attributes
    ----------
    code : str
    ratio : float
        Geometric mean.
    p : float or None
        Wilcoxon's two-sided signed-rank test; None below six signals.
    sooner, signals : int
    """

    code: str
    ratio: float
    p: float | None
    sooner: int
    signals: int


def flips_per_sample(samples: np.ndarray, bits: int, code: str) -> float:
    """Bits that differ between neighbours along the first axis, mean over pairs.

    Examples
    --------
    >>> crossing = np.array([7, 8, 7, 8])[:, None]  # -1, 0, -1, 0
    >>> flips_per_sample(crossing, 4, "offset"), flips_per_sample(crossing, 4, "sign-magnitude")
    (4.0, 2.0)
    """
    words = to_words(samples.astype(np.int64), bits, code)
    changed = (words[1:] ^ words[:-1])[..., None] >> np.arange(bits) & 1
    return float(changed.sum(-1).mean()) if changed.size else 0.0


def code_rows(fits: pd.DataFrame, prepared: Path) -> list[CodeRow]:
    """Signals that were fitted under several codes of integers.

    Parameters
    ----------
    fits : DataFrame
        The table of fits.
    prepared : Path
        Folder of prepared signals; those that are not there are left out.
    """
    rows = []
    integers = fits[fits.code.isin(INTEGER_CODES)]
    # Most signals have one code, and nothing to compare.
    several = integers.groupby("signal", sort=False).code.transform("nunique") > 1
    integers = integers[several]
    for (name, *_), group in integers.groupby(["signal", *SAME], sort=False, dropna=False):
        by_code = {code: part.set_index("seed") for code, part in group.groupby("code")}
        path = prepared / f"{name}.npz"
        if len(by_code) < 2 or USUAL not in by_code or not path.is_file():
            continue
        seeds = sorted(set.intersection(*(set(part.index) for part in by_code.values())))
        if not seeds:
            continue
        signal = Signal.load(path)
        half = 2 ** (signal.bits - 1)
        rows.append(
            CodeRow(
                signal=name,
                title=group.title.iloc[0],
                bits=signal.bits,
                peak=float(np.abs(signal.samples.astype(np.int64) - half).max()) / half,
                iterations={
                    code: float(part.loc[seeds, "iterations"].mean())
                    if (part.loc[seeds, "status"] == "lossless").all()
                    else float("nan")
                    for code, part in by_code.items()
                },
                flips={
                    code: flips_per_sample(signal.samples, signal.bits, code) for code in by_code
                },
                seeds=len(seeds),
            )
        )
    return sorted(rows, key=lambda row: row.peak)


def code_ratios(rows: list[CodeRow]) -> list[CodeRatio]:
    """Each code against offset binary, over the signals that both make lossless."""
    found = []
    for code in INTEGER_CODES[1:]:
        logs = [
            np.log(row.iterations[code] / row.iterations[USUAL])
            for row in rows
            if code in row.iterations
        ]
        logs = np.array([one for one in logs if np.isfinite(one)])
        if not len(logs):
            continue
        enough = len(logs) >= 6 and logs.any()
        found.append(
            CodeRatio(
                code=code,
                ratio=float(np.exp(logs.mean())),
                p=float(stats.wilcoxon(logs).pvalue) if enough else None,
                sooner=int((logs < 0).sum()),
                signals=len(logs),
            )
        )
    return found
