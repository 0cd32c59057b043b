"""What the size of a network and of a digit is worth: capacity, and the bound of Figure 1."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lossless_inr.analysis.bound import upper_bound
from lossless_inr.experiments.figures import style
from lossless_inr.experiments.figures.files import longest_runs
from lossless_inr.experiments.figures.pictures import (
    error_scale,
    panels_of,
    picture,
    pixel_data,
    show_error,
)
from lossless_inr.signals import Signal

COSTS = {"iterations": "iterations to lossless", "flops": "FLOPs to lossless"}
NOT_REACHED = "ended before it was lossless"
# The printed error maps are those of this iteration.
MAPS_AT = 1500


def capacity(fits: pd.DataFrame, results: Path, prepared: Path):
    """Iterations and FLOPs to lossless against parameters per bit.

    Open markers are fits that ended before. Lines join the medians over the seeds that were
    lossless.
    """
    figure, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.6), layout="constrained")
    looks = style.signal_styles(fits)
    medians = fits[fits.status == "lossless"].groupby(["signal", "parameters_per_bit"])
    medians = medians[list(COSTS)].median().astype(float)
    for name, look in looks.items():
        chosen = fits[fits.signal == name].sort_values("parameters_per_bit")
        lossless = chosen.status == "lossless"
        for axis, key in zip(axes, COSTS, strict=True):
            dots, unsolved = chosen[lossless], chosen[~lossless]
            if name in medians.index.get_level_values("signal"):
                line = medians.loc[name][key]
                axis.plot(line.index, line, color=look["color"], ls=look["ls"], lw=1)
            axis.plot(
                dots.parameters_per_bit, dots[key].astype(float), ls="", ms=4,
                color=look["color"], marker=look["marker"],
            )  # fmt: skip
            axis.plot(
                unsolved.parameters_per_bit, unsolved[key].astype(float), color=look["color"],
                marker=look["marker"], ms=4, **style.OPEN,
            )  # fmt: skip
    for axis, label in zip(axes, COSTS.values(), strict=True):
        axis.set(xlabel="parameters per bit of the signal", ylabel=label)
        axis.grid(True, which="major")
        style.log_axes(axis, "xy", steps=(1, 2, 5))
        for ratio, text in ((0.84, "paper, 8 bit"), (0.42, "paper, 16 bit")):
            axis.axvline(ratio, color="0.5", lw=0.8, ls=":")
            axis.annotate(
                text, (ratio, 1), xycoords=axis.get_xaxis_transform(), xytext=(0, 2),
                textcoords="offset points", fontsize=style.SMALL, ha="center", va="bottom",
            )  # fmt: skip
    handles = [plt.Line2D([], [], ms=4, **look) for look in looks.values()]
    style.legend(figure, handles, unfilled=NOT_REACHED)
    columns = ["signal", "title", "depth", "parameters_per_bit", "seed", "status", "iterations"]
    data = fits[[*columns, "flops", "best_wrong_bits"]].merge(
        medians.add_prefix("median_").reset_index(), how="left", on=["signal", "parameters_per_bit"]
    )
    return figure, data


def _bound_panel(axis) -> pd.DataFrame:
    rows = [(d, n, float(upper_bound(n, d))) for d in (2, 3) for n in range(1, 17)]
    data = pd.DataFrame(rows, columns=["dimensions", "n", "value"])
    for (d, line), (dashes, marker) in zip(
        data.groupby("dimensions"), (("-", "o"), ("--", "s")), strict=True
    ):
        axis.plot(line.n, line.value, color="k", ls=dashes, marker=marker, ms=2.5, label=f"d = {d}")
    axis.annotate(
        "bit planes:\nd = 3, n = 1", (1, float(upper_bound(1, 3))), xytext=(0.93, 0.05),
        textcoords="axes fraction", fontsize=style.SMALL, ha="right", va="bottom",
        arrowprops={"arrowstyle": "-", "lw": 0.6},
    )  # fmt: skip
    axis.set(ylabel="bound U(n) / C on the size")
    style.log_axes(axis, "y")
    axis.set_xticks([1, 4, 8, 12, 16])
    axis.legend(frameon=False, loc="upper left", handlelength=2.5)
    return data.assign(panel="bound")


def _measured_panels(axes, fits: pd.DataFrame) -> tuple[pd.DataFrame, list]:
    """Costs to lossless against n; where widths differ, those with as much together are dashed."""
    looks = style.signal_styles(fits)
    widest = fits.groupby("signal").width.transform("max")
    fits = fits.assign(reading=np.where(fits.width == widest, "each network", "all together"))
    for (name, reading, _), group in fits.groupby(["signal", "reading", "seed"], sort=False):
        group = group.sort_values("n")
        look = looks[name] | {"ls": "-" if reading == "each network" else ":"}
        done = group.status == "lossless"
        for axis, key in zip(axes, COSTS, strict=True):
            cost = group[key].astype(float)
            axis.plot(group.n, cost, lw=0.8, color=look["color"], ls=look["ls"])
            axis.plot(
                group.n[done], cost[done], ls="", ms=4, color=look["color"], marker=look["marker"]
            )
            axis.plot(
                group.n[~done], cost[~done], color=look["color"], marker=look["marker"], ms=4,
                **style.OPEN,
            )  # fmt: skip
    for axis, label in zip(axes, COSTS.values(), strict=True):
        axis.set(xscale="log", ylabel=label)
        axis.set_xticks(sorted(set(fits.n)), [str(n) for n in sorted(set(fits.n))])
        axis.xaxis.minorticks_off()
        style.log_axes(axis, "y", steps=(1, 2, 5))
    handles = [plt.Line2D([], [], ms=4, **look | {"ls": "-"}) for look in looks.values()]
    if (fits.reading == "all together").any():
        text = "all networks together have one's parameters"
        handles.append(plt.Line2D([], [], color="k", ls=":", label=text))
    columns = ["signal", "title", "n", "reading", "width", "seed", "status", "iterations", "flops"]
    return fits[columns].assign(panel="measured"), handles


def _maps(part, fits: pd.DataFrame, results: Path, prepared: Path) -> pd.DataFrame:
    """What digits of n bits decode to after 1,500 iterations, and where it is wrong."""
    name = fits.signal.iloc[0]
    signal = Signal.load(prepared / f"{name}.npz")
    panels = panels_of(fits.sort_values("n"), signal, results, "last")
    axes = part.subplots(2, len(panels), squeeze=False)
    part.suptitle(style.wrapped(f"{signal.title} after {MAPS_AT:,} iterations", style.WIDTH, 8))
    image = None
    for (above, below), panel in zip(axes.T, panels, strict=True):
        for axis in (above, below):
            axis.set_axis_off()
        pixels = picture(panel.samples, panel.truth, panel.bits)
        above.imshow(pixels, cmap="gray", vmin=0, vmax=1)
        title = panel.title if panel.fit is None else f"n = {panel.fit.n}"
        above.set_title(title, fontsize=7)
        if panel.fit is not None:
            image = show_error(below, panel)
            outcome = panel.outcome()
            if panel.fit.status == "lossless":
                outcome += f" at {panel.fit.iterations:,}"
            below.set_title(outcome, fontsize=style.SMALL)
    error_scale(part, image, axes, signal.bits)
    return pixel_data(panels, name).assign(panel="map")


def bound(fits: pd.DataFrame, results: Path, prepared: Path):
    """The bound U_d(n) / C, what digits of n bits cost, and where they are wrong (Figure 1).

    A fit that was lossless before the iteration of the error maps stopped there; it is shown.
    """
    fits = fits[fits.representation.isin(["digits", "direct"]) & (fits.recipe == "published")]
    fits = fits.assign(n=[style.digit_bits(fit) for _, fit in fits.iterrows()])
    early = (fits.status == "lossless") & (fits.iterations <= MAPS_AT)
    widest = fits.width == fits.groupby("signal").width.transform("max")
    whole = (fits.budget == MAPS_AT) & (fits.status != "diverged")
    mapped = fits[(whole | early) & widest & (fits.seed == 0)]
    # The signal with most maps, the first of the spec among equals.
    counts = mapped.groupby("signal", sort=False).n.nunique()
    mapped = mapped[mapped.signal == counts.idxmax()] if len(counts) else mapped
    mapped = mapped.drop_duplicates("n")
    figure = plt.figure(
        figsize=(style.WIDTH, 3.1 + (3.2 if len(mapped) else 0)), layout="constrained"
    )
    if len(mapped):
        above, below = figure.subfigures(2, 1, height_ratios=[3.1, 3.2])
    else:
        above = figure
    axes = above.subplots(1, 3)
    data = [_bound_panel(axes[0])]
    measured = longest_runs(fits, results)
    if len(measured):
        table, handles = _measured_panels(axes[1:], measured)
        data.append(table)
        style.legend(above, handles, unfilled=NOT_REACHED)
    for axis in axes:
        axis.set_xlabel("bits of a digit, n")
        axis.grid(True, which="major")
    if len(mapped):
        data.append(_maps(below, mapped, results, prepared))
    data = pd.concat(data, ignore_index=True)
    return figure, data[["panel", *(c for c in data.columns if c != "panel")]]
