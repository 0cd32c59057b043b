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
                axis.set(xscale="log", yscale="log" if quality == "ber" else "linear")
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

    A signal's cost is the median over its seeds. An open marker stands where the budget of a
    signal ended before it was lossless: beyond the first, a line is a lower limit.
    """
    fits = longest_runs(fits, results)
    names = style.method_names(fits)
    looks = style.method_styles(fits, names)
    depths = sorted(set(fits.bits))
    figure, axes = plt.subplots(
        1,
        len(depths),
        figsize=(style.WIDTH, 2.6 + 0.085 * len(looks)),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    data = []
    for axis, bits in zip(axes[0], depths, strict=True):
        chosen = fits[fits.bits == bits].assign(method=names)
        steps = performance_profile(chosen, "flops", by="method")
        starts = steps.cost[steps.cost > 0]
        left = float(starts.min()) / 2
        here = [name for name in looks if name in set(chosen.method)]
        for rank, name in enumerate(here):
            line, signals = (
                steps[steps.method == name],
                per_signal(chosen[chosen.method == name], "flops"),
            )
            look = looks[name]
            # Lines that lie on each other are moved apart by less than a line's share.
            lift = 0.012 * (rank - (len(here) - 1) / 2)
            x = line.cost.clip(lower=left)
            axis.step(x, line.share + lift, where="post", color=look["color"], ls=look["ls"])
            solved = line[1:][line.share.diff()[1:] > 0]
            axis.plot(
                solved.cost, solved.share + lift, color=look["color"], marker=look["marker"],
                ms=4.5, ls="",
            )  # fmt: skip
            missed = signals.time[signals.censored].to_numpy()
            if len(missed):
                at = [float(line.share[line.cost <= cost].iloc[-1]) for cost in missed]
                axis.plot(
                    missed,
                    np.add(at, lift),
                    color=look["color"],
                    marker=look["marker"],
                    ms=4.5,
                    **style.OPEN,
                )
            ended = signals.reset_index()[["signal", "time", "censored"]]
            data.append(line.assign(bits=bits, what="share"))
            data.append(
                ended.rename(columns={"time": "cost"}).assign(
                    method=name, bits=bits, what="signal", n=len(ended)
                )
            )
        count = chosen.signal.nunique()
        axis.set_title(f"{bits} bit, {count} signal{'s' if count > 1 else ''}")
        axis.set(xscale="log", xlabel="FLOPs", ylim=(-0.1, 1.1), xlim=(left, None))
        axis.grid(True, which="major")
    axes[0][0].set_ylabel("share of signals lossless")
    style.legend(figure, style.method_handles(looks), unfilled="a signal's budget ended here")
    columns = ["what", "bits", "method", "cost", "share", "n", "signal", "censored"]
    return figure, pd.concat(data, ignore_index=True)[columns]
