"""Bit-error rate of every bit-plane while fitting (the paper's Figure 6)."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm

from lossless_inr.experiments.figures import style
from lossless_inr.experiments.figures.files import (
    flops_at,
    load_curve,
    longest_runs,
    plane_columns,
    spread_iterations,
)

LOWEST = 1e-4  # rates below it, and 0, share the darkest colour


def planes(fits: pd.DataFrame, results: Path, prepared: Path):
    """Bit-error rate of each plane against iterations (left) and FLOPs (right), a row per fit.

    All rows share the axes of their column. Planes run from the most significant bit (top) to
    the least significant one.
    """
    fits = style.in_printed_order(longest_runs(fits, results))
    names = style.method_names(fits)
    figure, axes = plt.subplots(
        len(fits),
        2,
        figsize=(style.WIDTH, 1.2 + 0.72 * len(fits)),
        squeeze=False,
        sharex="col",
        layout="constrained",
    )
    norm = LogNorm(LOWEST, 0.5)
    several = fits.signal.nunique() > 1
    seeds = fits.seed.nunique() > 1
    data, image = [], None
    for pair, (index, fit) in zip(axes, fits.iterrows(), strict=True):
        curve = load_curve(fit, results)
        last = len(curve) - 1
        steps = spread_iterations(last, 240)
        counts = curve[plane_columns(fit.bits)].to_numpy()[steps]
        flops = flops_at(fit, steps)
        # A rectangle ends with its iteration, and the first begins at half of one: its logarithm.
        edges = {
            "iterations": np.concatenate([[0.5], steps[1:], [last + 1]]),
            "FLOPs": np.concatenate([[flops[0] / 2], flops]),
        }
        for axis, x in zip(pair, edges.values(), strict=True):
            image = axis.pcolormesh(
                x,
                np.arange(fit.bits + 1),
                np.clip(counts.T / fit.samples, LOWEST, 0.5),
                norm=norm,
                cmap="magma",
                rasterized=True,
            )
            axis.invert_yaxis()
            axis.set(yticks=[])
            style.log_axes(axis, "x")
        pair[0].set_yticks([0.5, fit.bits - 0.5], ["MSB", "LSB"])
        lines = [style.wrapped(names[index], 1.35, lines=3)]
        lines += [f"seed {fit.seed}"] if seeds else []
        lines += [style.wrapped(fit.title, 1.35, lines=1)] if several else []
        lines += [f"lossless at {last:,}" if fit.status == "lossless" else f"not in {last:,}"]
        pair[0].set_ylabel(
            "\n".join(lines), rotation=0, ha="right", va="center", fontsize=style.SMALL
        )
        data.append(
            pd.DataFrame(
                {
                    "signal": fit.signal,
                    "method": names[index],
                    "seed": fit.seed,
                    "status": fit.status,
                    "iteration": np.repeat(steps, fit.bits),
                    "flops": np.repeat(flops, fit.bits),
                    "plane": np.tile(np.arange(fit.bits)[::-1], len(steps)),
                    "ber": counts.reshape(-1) / fit.samples,
                }
            )
        )
    for axis, label in zip(axes[-1], edges, strict=True):
        axis.set_xlabel(label)
    if not several:
        figure.suptitle(style.signal_title(fits.iloc[0], style.WIDTH))
    bar = figure.colorbar(
        image, ax=axes, location="bottom", label="bit-error rate of the plane", shrink=0.5,
        aspect=45, extend="min",
    )  # fmt: skip
    style.log_axes(bar.ax, "x")
    return figure, pd.concat(data, ignore_index=True)
