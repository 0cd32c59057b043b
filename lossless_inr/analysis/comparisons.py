"""Methods side by side within two budgets: the paper's iterations, and equal FLOPs.

An iteration of one form can cost many times that of another, so an order of methods that is
found at equal iterations need not be one at equal compute. Both are looked up in the curves:
what had a fit reached by then?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lossless_inr.analysis.methods import METHOD
from lossless_inr.analysis.statistics import (
    FEWEST_PAIRS,
    Paired,
    holm,
    paired_times,
    paired_values,
    per_signal,
)
from lossless_inr.analysis.verdicts import PAPER_BUDGET

# What each method is held against, where it was run: the paper's, and the fast bit head.
REFERENCES = (("siren", "bitplane", "", "published"), ("siren", "bithead", "", "fast"))
REFERENCE, METHOD_AHEAD, TIE, MIXED = "reference", "method", "tie", "mixed"
YES, REVERSED, UNDECIDED = "yes", "reversed", "not decided"
SIGNIFICANT = 0.05
# A row of the table of fits -> its `best_so_far`, or what is read like it (`report.curves`).
BestSoFar = Callable[[pd.Series], Sequence[float]]


def best_so_far(curve: pd.DataFrame, samples: int, bits: int) -> np.ndarray:
    """Smallest bit-error rate after up to 0, 1, 2, ... updates.

    Parameters
    ----------
    curve : DataFrame
        A row per iteration; `plane_k` are the wrong bits of plane k.
    samples, bits : int
        Size and depth of the signal.
    """
    planes = [c for c in curve.columns if c.startswith("plane_")]
    return np.minimum.accumulate(curve[planes].to_numpy().sum(axis=1)) / (samples * bits)


def _after(ber: Sequence[float], updates: int) -> float:
    return float(ber[min(max(0, updates), len(ber) - 1)])


def _whole_flops(fits: pd.DataFrame) -> pd.Series:
    """FLOPs to lossless or, where it was not, of the whole budget."""
    share = (fits.iterations + 1) / (fits.budget + 1)
    flops = fits.flops.astype(float)
    return flops.where(fits.status == "lossless", flops / share)


def _at_flops(fit: pd.Series, flops: float, best: BestSoFar) -> float:
    # k updates look at the network k + 1 times; the small number is for rounding.
    passes = flops / float(fit.flops) * (fit.iterations + 1)
    return _after(best(fit), math.floor(passes + 1e-6) - 1)


def _at_papers_iterations(fit: pd.Series, best: BestSoFar) -> float | None:
    """BER within the paper's iterations; None if no fit of this method had that budget.

    Baselines get the printed 1,000 or 5,000 iterations, the bit forms run to their end. A rate
    that decays over a longer budget says nothing of a shorter one.
    """
    cap = PAPER_BUDGET.get(int(fit.bits)) if fit.representation == "direct" else None
    if cap is None or fit.budget <= cap:
        return float(best(fit)[-1])
    return _after(best(fit), cap) if fit.recipe == "published" else None


@dataclass(frozen=True)
class Comparison:
    """A method against a reference, on the signals that both have.

    Attributes
    ----------
    method, reference : Series
        A fit of each, for its name.
    n : int
        Signals.
    paper, flops : Paired or None
        BER of the method less that of the reference, within the paper's iterations (None where
        the method has no such fit) and at equal FLOPs.
    ber_paper, ber_flops : tuple of float or None
        Median BER over signals of the method and the reference.
    iterations, cost : Paired
        Time to lossless in iterations and in FLOPs.
    ahead_paper, ahead_flops : {"reference", "method", "tie", "mixed"} or None
    survives : {"yes", "reversed", "not decided"}
        Whether the order within the paper's iterations is that at equal FLOPs.
    evidence : list of str
        Specification digests of the fits.
    p_paper, p_flops : float or None
        Holm's adjusted p, over the comparisons of one group and reference.
    """

    method: pd.Series
    reference: pd.Series
    n: int
    paper: Paired | None
    flops: Paired
    ber_paper: tuple[float, float] | None
    ber_flops: tuple[float, float]
    iterations: Paired
    cost: Paired
    ahead_paper: str | None
    ahead_flops: str
    survives: str
    evidence: list[str]
    p_paper: float | None
    p_flops: float | None


def ahead(pair: Paired, p: float | None) -> str:
    """Who has the smaller values: by Holm's p from 6 signals on, below it only if all agree.

    Examples
    --------
    >>> ahead(Paired(larger=3, smaller=0, ties=0, undecided=0, p=None), None)
    'reference'
    >>> ahead(Paired(larger=2, smaller=1, ties=0, undecided=0, p=None), None)
    'mixed'
    """
    if not (pair.larger or pair.smaller or pair.undecided):
        return TIE
    if p is not None and pair.larger + pair.smaller + pair.ties >= FEWEST_PAIRS:
        if p >= SIGNIFICANT or pair.larger == pair.smaller:
            return MIXED
        return REFERENCE if pair.larger > pair.smaller else METHOD_AHEAD
    if pair.undecided or (pair.larger and pair.smaller):
        return MIXED
    return REFERENCE if pair.larger else METHOD_AHEAD


def survives(paper: str | None, flops: str) -> str:
    """Whether an order within the paper's iterations is found at equal FLOPs as well."""
    decided = (REFERENCE, METHOD_AHEAD)
    if paper not in decided or flops not in decided:
        return UNDECIDED
    return YES if paper == flops else REVERSED


def _values(fits: pd.DataFrame, other: pd.DataFrame, best: BestSoFar) -> pd.DataFrame:
    """BER by signal within both budgets, seeds averaged; equal FLOPs are those both had."""
    ends = [f.assign(end=_whole_flops(f)).groupby("signal").end.median() for f in (fits, other)]
    limit = pd.concat(ends, axis=1, join="inner").min(axis=1)
    rows = [
        (fit.signal, _at_papers_iterations(fit, best), _at_flops(fit, limit[fit.signal], best))
        for _, fit in fits[fits.signal.isin(limit.index)].iterrows()
    ]
    table = pd.DataFrame(rows, columns=["signal", "paper", "flops"]).astype({"paper": float})
    by_signal = table.groupby("signal")
    return by_signal.mean().where(by_signal.count().eq(by_signal.size(), axis=0))


def _pair(method: pd.DataFrame, reference: pd.DataFrame, best: BestSoFar) -> dict | None:
    common = set(method.signal) & set(reference.signal)
    if not common:
        return None
    times = {
        cost: paired_times(per_signal(method, cost), per_signal(reference, cost))
        for cost in ("iterations", "flops")
    }
    method, reference = (f[f.signal.isin(common)] for f in (method, reference))
    ours, theirs = _values(method, reference, best), _values(reference, method, best)
    complete = not (ours.paper.isna().any() or theirs.paper.isna().any())
    return {
        "method": method.iloc[0],
        "reference": reference.iloc[0],
        "n": len(common),
        "paper": paired_values(ours.paper, theirs.paper) if complete else None,
        "flops": paired_values(ours.flops, theirs.flops),
        "ber_paper": (ours.paper.median(), theirs.paper.median()) if complete else None,
        "ber_flops": (ours.flops.median(), theirs.flops.median()),
        "iterations": times["iterations"],
        "cost": times["flops"],
        "evidence": [*method.spec_digest, *reference.spec_digest],
    }


def against(fits: pd.DataFrame, reference: tuple, best: BestSoFar) -> list[Comparison]:
    """Every method of a group against one of them.

    Parameters
    ----------
    fits : DataFrame
        One of `methods.groups`. Of the reference's network, only fits as wide as it are compared.
    reference : tuple of str
        Network, representation, variant and recipe.
    best : callable
        A row of `fits` -> its `best_so_far`.
    """
    is_reference = np.logical_and.reduce(
        [fits[c] == v for c, v in zip(METHOD[:4], reference, strict=True)]
    )
    theirs = fits[is_reference]
    if theirs.empty:
        return []
    theirs = theirs[theirs.width == theirs.width.max()]
    others = fits[~is_reference & ((fits.network != reference[0]) | _as_wide(fits, theirs))]
    pairs = [_pair(group, theirs, best) for _, group in others.groupby(METHOD, sort=False)]
    pairs = [pair for pair in pairs if pair]
    adjusted = {
        key: holm([p[key].p if p[key] else None for p in pairs]) for key in ("paper", "flops")
    }
    found = []
    for k, pair in enumerate(pairs):
        p_paper, p_flops = adjusted["paper"][k], adjusted["flops"][k]
        first = ahead(pair["paper"], p_paper) if pair["paper"] else None
        if first == TIE:  # every bit right within the budget: then it counts who was sooner
            first = ahead(pair["iterations"], pair["iterations"].p)
        second = ahead(pair["flops"], p_flops)
        found.append(
            Comparison(
                **pair,
                p_paper=p_paper,
                p_flops=p_flops,
                ahead_paper=first,
                ahead_flops=second,
                survives=survives(first, second),
            )
        )
    return found


def _as_wide(fits: pd.DataFrame, theirs: pd.DataFrame) -> pd.Series:
    return fits.width == theirs.width.iloc[0]
