"""Performance against the bits of a weight (Figure 10)."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from lossless_inr.experiments.figures import style

LABELS = {"ber": "best BER", "iterations": "iterations to lossless"}
NOT_REACHED = "ended before it was lossless"


def precision(fits: pd.DataFrame, results: Path, prepared: Path):
    """Best BER and iterations to lossless against weight precision, a line per network.

    Lines join medians over signals and seeds; a BER of 0 is drawn on the lower edge. Open markers
    are fits that ended before they were lossless.
    """
    figure, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.6), layout="constrained")
    offered = sorted(set(fits.weight_bits))
    place = {bits: k for k, bits in enumerate(offered)}
    wrong = fits.ber[fits.ber > 0]
    floor = 10 ** float(-1 + int(f"{wrong.min():e}".split("e")[1])) if len(wrong) else 1e-6
    plain = fits.assign(variant="")
    names = style.method_names(plain)
    # Networks are what is compared here, whatever their form: each has its own colour.
    looks = style.method_styles(plain.assign(representation="direct"), names)
    for k, (name, group) in enumerate(fits.groupby(names, sort=False)):
        look = looks[name]
        shown = group.assign(ber=group.ber.clip(lower=floor))
        done = group.status == "lossless"
        # Side by side, or equal values hide one another.
        x = shown.weight_bits.map(place) + 0.08 * (k - 0.5)
        for axis, key in zip(axes, LABELS, strict=True):
            value = shown[key].astype(float)
            medians = value.groupby(x).median()
            dots = {"color": look["color"], "marker": look["marker"], "ms": 4}
            axis.plot(medians.index, medians, color=look["color"], ls=look["ls"], lw=1)
            axis.plot(x[done], value[done], **dots | {"ls": ""})
            axis.plot(x[~done], value[~done], **dots | style.OPEN)
    for axis, label in zip(axes, LABELS.values(), strict=True):
        axis.set_xticks(range(len(offered)), [f"{bits:g}" for bits in offered])
        axis.set(xlabel="bits of a weight", ylabel=label)
        axis.grid(True, which="major")
    style.log_axes(axes[0], "y")
    style.log_axes(axes[1], "y", steps=(1, 2, 5))
    axes[0].set_ylim(bottom=floor / 1.5)
    axes[0].annotate(
        "0", (0, floor), xycoords=("axes fraction", "data"), xytext=(3, 2),
        textcoords="offset points", fontsize=style.SMALL,
    )  # fmt: skip
    style.legend(figure, style.method_handles(looks), unfilled=NOT_REACHED)
    columns = ["signal", "title", "method", "recipe", "weight_bits", "width", "seed", "status"]
    return figure, fits[[*columns, "verified", "iterations", "ber", "weight_bytes"]]
