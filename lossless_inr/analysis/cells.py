"""A printed cell beside the measured one, and whether they agree.

Only fits at the paper's own scale can reproduce a cell or contradict it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from lossless_inr.analysis.printed import PAPER_SCALE
from lossless_inr.analysis.statistics import Summary

WITHIN, DIFFERS, OTHER, NOT_RUN = "within tolerance", "differs", "other scale", "not run"


@dataclass(frozen=True)
class Tolerance:
    """How far a measured cell may be from the printed one. Fixed before anything was measured."""

    standard_errors: float = 2.0  # iterations: deviation over signals / sqrt(signals)
    ber: float = 0.10  # of the printed one
    psnr: float = 0.5  # dB
    ssim: float = 0.002

    @property
    def rmse(self) -> float:
        """The same statement as that on PSNR, as the ratio of the larger to the smaller, less 1."""
        return 10 ** (self.psnr / 20) - 1


TOLERANCE = Tolerance()
# What a metric is when every bit is right, and only then.
LOSSLESS = {"psnr": math.inf, "ssim": 1.0, "rmse": 0.0, "ber": 0.0}


@dataclass(frozen=True)
class Cell:
    """One published cell and its answer.

    Attributes
    ----------
    printed : float
    measured : float or None
        None where nothing was run, not everything was run, or the mean does not exist because
        a fit is censored (`note` then has the median).
    difference : float or None
        Measured less printed; None where it is not finite or the two are not of one scale.
    status : {"within tolerance", "differs", "other scale", "not run"}
    n : int
        Signals that were run.
    note : str
    """

    printed: float
    measured: float | None
    difference: float | None
    status: str
    n: int
    note: str = ""


def compare(
    metric: str,
    printed: float,
    measured: Summary | float | None,
    *,
    scale: str,
    n: int,
    expected: int,
    printed_std: float | None = None,
    is_budget: bool = False,
) -> Cell:
    """Hold a measured value against the printed one.

    Parameters
    ----------
    metric : {"iterations", "psnr", "ssim", "rmse", "ber"}
        Others have no tolerance stated, and so no verdict.
    printed : float
        dB, integer grey levels, a fraction or a count, as in `published.yaml`.
    measured : Summary, float or None
        For iterations a `Summary`, over signals (over seeds if the cell is about one signal).
    scale : str
        Only "paper" is compared; any other gives "other scale" and no difference.
    n, expected : int
        Signals run, and those that the cell is about at this scale. With fewer, nothing is
        averaged over what is missing: "not run", `3 of 24 images run`.
    printed_std : float, optional
        Deviation over signals as printed; without it, our own is taken.
    is_budget : bool
        True if the paper prints the iterations as a budget.

    Raises
    ------
    ValueError
        If asked to compare what cannot be: a budget (how long a fit was allowed to run) with a
        count, a metric without a tolerance, a cell that is not printed, a value that is NaN.
        These are faults of the table's maker, and no status of a cell may hide them.
    """
    if metric != "iterations" and metric not in LOSSLESS:
        raise ValueError(f"no tolerance is stated for {metric!r}")
    if is_budget:
        raise ValueError(f"{printed:g} {metric} is a budget of the paper, not a result")
    if printed is None or math.isnan(printed):
        raise ValueError(f"the paper prints no {metric} here")
    if not 0 <= n <= expected or expected < 1:
        raise ValueError(f"{n} signals run of {expected} expected")
    if n < expected:
        return Cell(printed, None, None, NOT_RUN, n, f"{n} of {expected} images run" if n else "")
    if metric == "iterations":
        return _iterations(printed, measured, scale, n, printed_std)
    if measured is None or math.isnan(measured):
        raise ValueError(f"{n} signals were run but no {metric} is given")
    if scale != PAPER_SCALE:
        return Cell(printed, measured, None, OTHER, n)
    return _quality(metric, printed, float(measured), n)


def _quality(metric: str, printed: float, measured: float, n: int) -> Cell:
    exact = LOSSLESS[metric]
    if printed == exact or measured == exact:
        # All bits right is a statement of its own, and no tolerance comes near it.
        if printed == measured:
            return Cell(printed, measured, 0.0, WITHIN, n)
        note = f"only the {'printed' if printed == exact else 'measured'} one is lossless"
        finite = math.isfinite(measured) and math.isfinite(printed)
        difference = measured - printed if finite else None
        return Cell(printed, measured, difference, DIFFERS, n, note)
    difference = measured - printed
    if metric == "rmse":
        apart, allowed = max(measured / printed, printed / measured) - 1, TOLERANCE.rmse
    elif metric == "ber":
        apart, allowed = abs(difference), TOLERANCE.ber * printed
    else:
        apart, allowed = abs(difference), getattr(TOLERANCE, metric)
    return Cell(printed, measured, difference, _judge(apart, allowed), n)


def _iterations(
    printed: float, measured: Summary | None, scale: str, n: int, printed_std: float | None
) -> Cell:
    if not isinstance(measured, Summary):
        raise ValueError("iterations are compared as a Summary, which knows what is censored")
    if measured.n != n > 1:  # several signals whose every seed counts would look too certain
        raise ValueError(f"a summary of {measured.n} values for {n} signals")
    censored = measured.text() if measured.reached < measured.n else ""
    if scale != PAPER_SCALE:
        return Cell(printed, measured.mean, None, OTHER, n, censored)
    if censored:
        return Cell(printed, None, None, DIFFERS, n, censored)
    difference = measured.mean - printed
    std = measured.std if printed_std is None else printed_std
    if std is None:
        note = "" if difference == 0 else "no deviation printed or measured: only equality counts"
        return Cell(printed, measured.mean, difference, _judge(abs(difference), 0), n, note)
    allowed = TOLERANCE.standard_errors * std / math.sqrt(measured.n)
    note = f"{'our' if printed_std is None else 'printed'} deviation, ± {allowed:.3g}"
    return Cell(printed, measured.mean, difference, _judge(abs(difference), allowed), n, note)


def _judge(apart: float, allowed: float) -> str:
    # 55.53 - 55.03 is a little more than 0.5 in binary.
    return WITHIN if apart <= allowed * (1 + 1e-9) + 1e-12 else DIFFERS


def headline(cells: Iterable[Cell]) -> str:
    """Count the cells by status.

    Examples
    --------
    >>> headline([Cell(790, 795.0, 5.0, WITHIN, 24), Cell(790, None, None, NOT_RUN, 0)])
    '1 of 2 published cells reproduced; 0 differ; 1 not run'
    """
    counts = Counter(cell.status for cell in cells)
    text = f"{counts[WITHIN]} of {counts.total()} published cells reproduced; "
    text += f"{counts[DIFFERS]} differ{'s' if counts[DIFFERS] == 1 else ''}; "
    other = f"{counts[OTHER]} at another scale; " if counts[OTHER] else ""
    return f"{text}{other}{counts[NOT_RUN]} not run"
