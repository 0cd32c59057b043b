"""Convergence of fits, and the share of signals that are lossless within a cost."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lossless_inr.analysis.statistics import per_signal, performance_profile
from lossless_inr.experiments.figures import style
from lossless_inr.experiments.figures.files import (
    flops_at,
    load_curve,
    longest_runs,
    plane_columns,
    spread_iterations,
)

COSTS = {"iteration": "iterations", "flops": "FLOPs"}
QUALITIES = {"ber": "bit-error rate", "psnr": "PSNR (dB)"}


def _course(fit: pd.Series, results: Path) -> pd.DataFrame:
    """BER and PSNR of one fit at the iterations that are drawn."""
    curve = load_curve(fit, results)
    curve = curve.iloc[spread_iterations(len(curve) - 1)]
    squared = curve.squared_error.to_numpy(dtype=float)
    with np.errstate(divide="ignore"):
        psnr = 10 * np.log10((2.0**fit.bits - 1) ** 2 * fit.samples / squared)
    return pd.DataFrame(
        {
            "iteration": curve.iteration.to_numpy(),
            "flops": flops_at(fit, curve.iteration.to_numpy()),
            "ber": curve[plane_columns(fit.bits)].sum(axis=1).to_numpy() / (fit.samples * fit.bits),
            "psnr": psnr,
        }
    )


def _limits(fit: pd.Series) -> dict[str, float]:
    """Where "no error" is drawn, which has no place on a logarithmic axis: at half of one."""
    peak = (2.0**fit.bits - 1) ** 2
    return {
        "ber": 0.5 / (fit.samples * fit.bits),
        "psnr": 10 * np.log10(peak * fit.samples / 0.5),
    }


def convergence(fits: pd.DataFrame, results: Path, prepared: Path):
    """BER and PSNR against iterations (left) and against FLOPs (right), two rows per signal.

    A vertical line with a star stands where a fit is lossless. A step of the bit-plane form
    costs n steps of a baseline, which the left column hides.
    """
    fits = longest_runs(fits, results)
    names = style.method_names(fits)
    looks = style.method_styles(fits, names)
    signals = list(dict.fromkeys(fits.signal))
    figure, axes = plt.subplots(
        2 * len(signals),
        2,
        figsize=(style.WIDTH, 0.6 + 3.4 * len(signals) + 0.085 * len(looks)),
        squeeze=False,
        sharex="col",
        sharey="row",
        layout="constrained",
    )
    data = []
    for row, signal in enumerate(signals):
        chosen = fits[fits.signal == signal]
        for rank, (index, fit) in enumerate(chosen.iterrows()):
            course, look = _course(fit, results), looks[names[index]]
            data.append(
                pd.DataFrame(
                    {
                        "signal": signal,
                        "method": names[index],
                        "seed": fit.seed,
                        "status": fit.status,
                        **course,
                    }
                )
            )
            limits = _limits(fit)
            for quality, axis_row in zip(QUALITIES, axes[2 * row : 2 * row + 2], strict=True):
                low, high = (limits["ber"], None) if quality == "ber" else (None, limits["psnr"])
                shown = course[quality].clip(low, high)
                for cost, axis in zip(COSTS, axis_row, strict=True):
                    # Iteration 0 has no place on a logarithmic axis either.
                    x = course[cost].clip(lower=0.5)
                    # Few markers, staggered, so that lines are told apart without colour.
                    every = (0.03 + 0.02 * (rank % 5), 0.22)
                    axis.plot(x, shown, **look, ms=3, markevery=every, lw=1.0)
                    if fit.status == "lossless":
                        end = x.iloc[-1]
                        axis.axvline(end, color=look["color"], lw=0.5, ls=look["ls"], alpha=0.6)
                        axis.plot(end, shown.iloc[-1], color=look["color"], **style.STAR)
        for quality, axis_row in zip(QUALITIES, axes[2 * row : 2 * row + 2], strict=True):
            axis_row[0].set_ylabel(QUALITIES[quality])
            for axis in axis_row:
                style.log_axes(axis, "xy" if quality == "ber" else "x")
                axis.grid(True, which="major")
                axis.tick_params(labelbottom=True)
                if quality == "ber":
                    axis.set_title(style.signal_title(chosen.iloc[0]))
    for axis, label in zip(axes[-1], COSTS.values(), strict=True):
        axis.set_xlabel(label)
    star = "lossless (no wrong bit)" if (fits.status == "lossless").any() else ""
    style.legend(figure, style.method_handles(looks), star=star)
    return figure, pd.concat(data, ignore_index=True)


def profile(fits: pd.DataFrame, results: Path, prepared: Path):
    """Share of signals that are lossless within so many FLOPs, a panel per bit depth.

    A signal's cost is the median over its seeds. Below stand the budgets of signals that ended
    before they were lossless, a row per method: beyond its first, a line is a lower limit.
    """
    fits = longest_runs(fits, results)
    names = style.method_names(fits)
    looks = style.method_styles(fits, names)
    depths = sorted(set(fits.bits))
    figure, axes = plt.subplots(
        2,
        len(depths),
        figsize=(style.WIDTH, 3.4 + 0.085 * len(looks)),
        height_ratios=[2.6, 1],
        squeeze=False,
        sharex="col",
        sharey="row",
        layout="constrained",
    )
    data = []
    for (above, below), bits in zip(axes.T, depths, strict=True):
        chosen = fits[fits.bits == bits].assign(method=names)
        steps = performance_profile(chosen, "flops", by="method")
        row = 0
        for name, look in looks.items():
            if name not in set(chosen.method):
                continue
            signals = per_signal(chosen[chosen.method == name], "flops").reset_index()
            line = steps[steps.method == name]
            marks = {"color": look["color"], "marker": look["marker"], "ms": 4.5}
            rises = line[line.share.diff() > 0]
            if len(rises):
                # From the first rise on: before it, every line lies on the axis.
                first, last = rises.cost.iloc[0], line.cost.iloc[-1]
                above.step(
                    [first, *rises.cost, last], [0, *rises.share, rises.share.iloc[-1]],
                    where="post", color=look["color"], ls=look["ls"],
                )  # fmt: skip
                above.plot(rises.cost, rises.share, ls="", **marks)
            missed = signals[signals.censored]
            if len(missed):
                row -= 1
                for cost, count in missed.time.value_counts().items():
                    below.plot(cost, row, **marks | style.OPEN)
                    if count > 1:
                        below.annotate(
                            f"×{count}", (cost, row), xytext=(5, 0), va="center",
                            textcoords="offset points", fontsize=style.SMALL,
                        )  # fmt: skip
            data.append(line.assign(bits=bits, what="share"))
            signals = signals[["signal", "time", "censored"]].rename(columns={"time": "cost"})
            data.append(signals.assign(method=name, bits=bits, what="signal", n=len(signals)))
        count = chosen.signal.nunique()
        above.set_title(f"{bits} bit, {count} signal{'s' if count > 1 else ''}")
        above.set(ylim=(-0.03, 1.05))
        style.log_axes(above, "x")
        below.set(xlabel="FLOPs", yticks=[])
        below.margins(y=0.15)
        # Whole decades: two are always labelled.
        costs = steps.cost[steps.cost > 0]
        decades = np.log10([costs.min() * 0.95, costs.max() * 1.05])
        below.set_xlim(10 ** np.floor(decades[0]), 10 ** np.ceil(decades[1]))
        for axis in (above, below):
            axis.grid(True, which="major")
    axes[0][0].set_ylabel("share of signals lossless")
    axes[1][0].set_ylabel("budget\nended")
    style.legend(figure, style.method_handles(looks), unfilled="budget of a signal not lossless")
    columns = ["what", "bits", "method", "cost", "share", "n", "signal", "censored"]
    return figure, pd.concat(data, ignore_index=True)[columns]
