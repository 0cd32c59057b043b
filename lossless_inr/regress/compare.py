"""Two measurements beside each other: a verdict for each row. Imports no torch.

Three kinds of numbers, three rules. *Exact* and *close* ones must be equal (close: to the row's
tolerance). *Banded* ones, iterations or wrong bits of a method's fits, must not be worse by more
than a band that rerunning can explain, judged on pairs (same signal and seed) by Wilcoxon's
one-sided signed-rank test, Holm-corrected over the methods. *Informative* ones only warn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy import stats

from lossless_inr.analysis.statistics import holm

SIGNIFICANT = 0.05
# Mean log ratio that the study never saw from threads alone, for methods it has not seen.
DEFAULT_BAND = 0.10
# Ratio of seconds per update from which a warning is due.
SLOWER = 1.5
FAILING = ("changed", "worse", "missing")
NOTES = ("better", "new", "slower", "faster")


@dataclass(frozen=True)
class Row:
    """Verdict on one row.

    Attributes
    ----------
    part : {"facts", "traces", "fits", "speed"}
    name : str
    verdict : str
        `same`, one of `FAILING`, or one of `NOTES`.
    detail : str
        What differs, in words.
    effect : float or None
        Ratio now / baseline of a banded or informative number; 1 is no change.
    p : float or None
        Holm-corrected, one-sided.
    """

    part: str
    name: str
    verdict: str
    detail: str = ""
    effect: float | None = None
    p: float | None = None

    @property
    def failed(self) -> bool:
        """Whether it makes the gate fail."""
        return self.verdict in FAILING


def difference(base: dict, now: dict) -> str:
    """First thing in which two rows of exact and close numbers differ; empty if in nothing."""
    for key in sorted(base.get("exact", {}).keys() | now.get("exact", {}).keys()):
        a, b = (row.get("exact", {}).get(key) for row in (base, now))
        if isinstance(a, dict) and isinstance(b, dict) and a != b:
            inner = next(k for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k))
            return f"{key}.{inner}: {_short(a.get(inner))} -> {_short(b.get(inner))}"
        if a != b:
            return f"{key}: {_short(a)} -> {_short(b)}"
    for key in sorted(base.get("close", {}).keys() | now.get("close", {}).keys()):
        a, b = (row.get("close", {}).get(key) for row in (base, now))
        if a is None or b is None or len(a) != len(b):
            return f"{key}: {len(a or ())} -> {len(b or ())} numbers"
        off = deviations(a, b)
        if (off > base["tolerance"]).any():
            first = int(np.argmax(off > base["tolerance"]))
            return f"{key}[{first}]: {a[first]:.9g} -> {b[first]:.9g}, relative {off[first]:.1e}"
    return ""


def deviations(a: list[float], b: list[float]) -> np.ndarray:
    """Relative difference of each pair of numbers; NaN counts as infinitely far.

    Numbers below 1e-6 of the largest are held against that instead of themselves.
    """
    first, second = np.asarray(a, float), np.asarray(b, float)
    if not len(first):
        return np.zeros(0)
    size = np.maximum(abs(first), abs(second))
    off = abs(first - second) / np.maximum(size, max(1e-6 * float(size.max()), 1e-300))
    return np.where(np.isfinite(off), off, math.inf)


def _short(value) -> str:
    text = f"{value:.9g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def metric_of(base: dict[str, dict]) -> str:
    """What a method is judged by: `iterations` if all its fits were lossless, else `wrong_bits`."""
    return "iterations" if all(row["lossless"] for row in base.values()) else "wrong_bits"


def log_ratios(base: dict[str, dict], now: dict[str, dict]) -> tuple[str, np.ndarray]:
    """The method's metric and log(now / baseline) of each pair that both have."""
    pairs = sorted(base.keys() & now.keys())
    metric = metric_of({pair: base[pair] for pair in pairs})
    ratios = [math.log((now[p][metric] + 1) / (base[p][metric] + 1)) for p in pairs]
    return metric, np.array(ratios)


def compare_fits(base: dict, now: dict, bands: dict[str, float]) -> list[Row]:
    """Verdicts on the methods: exact facts of each fit, then the paired test."""
    rows, tested = [], []
    for method in sorted(now):
        if method not in base:
            rows.append(Row("fits", method, "new", "no baseline yet"))
            continue
        before, after = base[method], now[method]
        pairs = sorted(before.keys() & after.keys())
        fault = ""
        for pair in pairs:
            fault = difference(before[pair], after[pair])
            lost = metric_of(before) == "iterations" and not after[pair]["lossless"]
            if lost:
                fault = f"lossless: yes -> no, {after[pair]['wrong_bits']} wrong bits"
            if fault:
                rows.append(Row("fits", method, "changed", f"{pair}: {fault}"))
                break
        if fault or not pairs:
            continue
        metric, ratios = log_ratios(before, after)
        tested.append((method, metric, ratios))
    worse = holm([_p(ratios, "greater") for _, _, ratios in tested])
    better = holm([_p(ratios, "less") for _, _, ratios in tested])
    for (method, metric, ratios), p_worse, p_better in zip(tested, worse, better, strict=True):
        effect, band = float(np.exp(ratios.mean())), bands.get(method, DEFAULT_BAND)
        verdict, p = "same", p_worse
        if p_worse < SIGNIFICANT and ratios.mean() > band:
            verdict = "worse"
        elif p_better < SIGNIFICANT and ratios.mean() < -band:
            verdict, p = "better", p_better
        words = f"{metric.replace('_', ' ')}, {len(ratios)} pairs, band +-{100 * band:.0f} %"
        rows.append(Row("fits", method, verdict, words, effect, p))
    return rows


def _p(ratios: np.ndarray, alternative: str) -> float:
    """One-sided signed-rank p; 1 where nothing differs."""
    if not ratios.any():
        return 1.0
    return float(stats.wilcoxon(ratios, alternative=alternative, method="auto").pvalue)


def compare_speed(base: dict, now: dict) -> list[Row]:
    """Seconds per update in units of the reference kernel, and memory: warnings at most."""
    rows = []
    for method in sorted(base.keys() & now.keys()):
        pairs = base[method].keys() & now[method].keys()
        if not pairs:
            continue

        def middle(rows_, key, pairs=pairs):
            return median(rows_[pair]["info"][key] for pair in pairs)

        ratio = middle(now[method], "update_units") / middle(base[method], "update_units")
        memory = middle(now[method], "memory_mib") / middle(base[method], "memory_mib")
        verdict = "slower" if ratio > SLOWER else "faster" if ratio < 1 / SLOWER else "same"
        engines = {row[next(iter(pairs))]["info"]["engine"] for row in (base[method], now[method])}
        words = f"seconds per update; memory x{memory:.2f}"
        words += f"; engines {', '.join(sorted(engines))}" if len(engines) > 1 else ""
        rows.append(Row("speed", method.replace("fit ", "speed "), verdict, words, ratio))
    return rows


def compare(
    base: dict[str, dict],
    now: dict[str, dict],
    *,
    bands: dict[str, float],
    expected: dict[str, list[str]],
) -> list[Row]:
    """Verdicts on every row of `now`, and on those that should be there and are not.

    Parameters
    ----------
    base, now : dict
        Part -> name -> row, as from `measure.measure`.
    bands : dict
        Method -> mean log ratio that reruns can explain.
    expected : dict
        Part -> names that the baseline has and that this run (quick or whole) should have.
    """
    rows = []
    for part in ("facts", "traces"):
        for name, row in now.get(part, {}).items():
            if name not in base[part]:
                rows.append(Row(part, name, "new", "no baseline yet"))
                continue
            fault = difference(base[part][name], row)
            rows.append(Row(part, name, "changed" if fault else "same", fault))
    if "fits" in now:
        rows += compare_fits(base["fits"], now["fits"], bands)
        rows += compare_speed(base["fits"], now["fits"])
    for part in now:
        for name in sorted(set(expected[part]) - now[part].keys()):
            rows.append(Row(part, name, "missing", "in the baseline, but not measured any more"))
    return rows
