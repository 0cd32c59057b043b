"""Iterations to lossless against the frequency along the bit axis (Figure 9)."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from lossless_inr.analysis.spectrum import SHUFFLED
from lossless_inr.experiments.figures import style

PERIODS = {0: "DC", 1: "16", 3: "8", 7: "4", 15: "2"}
ASIDE = 0.2  # changes
NOT_REACHED = "ended before it was lossless"


def spectrum(fits: pd.DataFrame, results: Path, prepared: Path):
    """Iterations against changes from plane to plane: periodic values, and shuffled ones.

    Dots are seeds; bars span them, and lines join their medians. A fit that
    ended before it was lossless is an open marker at its budget, and counts with it: a median of
    such fits is a bound. Where shuffled values follow the line of the periodic ones (dotted, on the
    right again), it is the place of the bits that counts and not the values.
    """
    names = style.method_names(fits)
    looks = style.method_styles(fits, names)
    shuffled = fits.signal.str.contains(SHUFFLED)
    time = fits.iterations.where(fits.status == "lossless", fits.budget).astype(float)
    figure, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.6), sharey=True, layout="constrained")
    for axis, chosen in zip(axes, (~shuffled, shuffled), strict=True):
        for rank, (name, look) in enumerate(looks.items()):
            here = (names == name) & chosen
            colour = look["color"]
            if axis is axes[1]:
                known = time[(names == name) & ~chosen]
                known = known.groupby(fits.plane_changes[known.index]).median()
                axis.plot(known.index, known, color=colour, lw=0.8, ls=":", alpha=0.6)
            # Side by side, or equal values hide one another.
            x = fits.plane_changes[here] + ASIDE * (rank - (len(looks) - 1) / 2)
            group = time[here].groupby(x)
            middle = group.median()
            line = look["ls"] if axis is axes[0] else ""
            axis.plot(middle.index, middle, color=colour, ls=line, lw=1, marker="_", ms=7)
            axis.vlines(middle.index, group.min(), group.max(), color=colour, lw=0.8)
            done = fits.status[here] == "lossless"
            dots = {"color": colour, "marker": look["marker"], "ms": 2.5}
            axis.plot(x[done], time[here][done], **dots | {"ls": ""})
            axis.plot(x[~done], time[here][~done], **dots | style.OPEN)
        axis.grid(True, which="major")
        axis.set_xlabel("changes from one bit plane to the next")
    axes[0].set(title="periodic along the bit axis", ylabel="iterations to lossless")
    axes[1].set_title("the same values, planes shuffled")
    style.log_axes(axes[0], "y", steps=(1, 2, 5))
    if len(fits) and fits.bits.eq(16).all() and set(fits.plane_changes[~shuffled]) <= set(PERIODS):
        ticks = [f"{text}\n({k})" for k, text in PERIODS.items()]
        axes[0].set_xticks(list(PERIODS), ticks)
        axes[0].set_xlabel("period along the bit axis (changes)")
    open_ones = NOT_REACHED if (fits.status != "lossless").any() else ""
    style.legend(figure, style.method_handles(looks), unfilled=open_ones)
    columns = ["signal", "title", "seed", "status", "iterations", "budget", "plane_changes"]
    return figure, fits[columns].assign(method=names, shuffled=shuffled)
