"""Figures from the table of fits and their curves: SVG, PNG, and the data behind as CSV.

One function per layout takes fits that can be drawn and returns a figure and its data; `draw`
does what all of them share. Imports no torch.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lossless_inr.experiments.figures import style
from lossless_inr.experiments.figures.curves import convergence, profile
from lossless_inr.experiments.figures.files import why_absent
from lossless_inr.experiments.figures.pictures import bits, errors, reconstructions
from lossless_inr.experiments.figures.planes import planes
from lossless_inr.experiments.figures.precision import precision
from lossless_inr.experiments.figures.scaling import bound, capacity
from lossless_inr.experiments.figures.spectrum import spectrum
from lossless_inr.experiments.tables import fits_table

LAYOUTS = {
    "bound": bound,
    "convergence": convergence,
    "profile": profile,
    "planes": planes,
    "errors": errors,
    "reconstructions": reconstructions,
    "bits": bits,
    "capacity": capacity,
    "precision": precision,
    "spectrum": spectrum,
}
NAMED = 4  # fits that are missing, by name
# What the data say of a fit that is not drawn.
ABSENT = ["signal", "method", "seed", "status"]


def _note(planned: int, table: pd.DataFrame, reasons: pd.Series) -> str:
    """Which fits of the plan a figure does not show; empty if it shows all."""
    absent = table[reasons != ""]
    sentences = []
    if len(table) < planned:
        sentences.append(f"{len(table):,} of {planned:,} fits were run.")
    if len(absent):
        names = style.method_names(absent) + " on " + absent.signal
        listed = [f"{names[k]} ({reasons[k]})" for k in absent.index[:NAMED]]
        more = f" and {len(absent) - NAMED:,} more" if len(absent) > NAMED else ""
        sentences.append(f"{len(absent):,} not drawn: {'; '.join(listed)}{more}.")
    return style.wrapped(" ".join(sentences), style.WIDTH, 8, lines=8)


def _nothing(text: str):
    """A figure that says why there is nothing to draw."""
    figure = style.plt.figure(figsize=(style.WIDTH, 1.6), layout="constrained")
    axis = figure.subplots()
    axis.set(xticks=[], yticks=[])
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes)
    return figure


def draw(
    layout: str,
    fits: pd.DataFrame,
    wanted: list[str],
    *,
    results: Path,
    prepared: Path,
    svg: Path,
    png: Path,
    csv: Path,
    planned: int | None = None,
) -> None:
    """Draw one figure of the fits `wanted` (specification digests) and write its three files.

    A fit that was not run, failed or left no curve is not drawn; the figure says so above its
    panels, and the data have a row with its status.

    Parameters
    ----------
    layout : str
        A key of `LAYOUTS`.
    fits : DataFrame
        The table of fits.
    wanted : list of str
    results, prepared : Path
        `results/<scale>` and `data/prepared`.
    svg, png, csv : Path
        Files to write.
    planned : int, optional
        How many fits the whole figure has, where `wanted` is a part of them.
    """
    planned = len(wanted) if planned is None else planned
    run = set(fits.spec_digest) if len(fits) else set()
    have = [digest for digest in wanted if digest in run]
    with style.plt.rc_context(style.RC):
        if have:
            figure, data = _draw(layout, fits_table(fits, have), planned, results, prepared)
        else:
            text = f"no fit was run yet ({planned:,} planned)" if planned else "no fit was run yet"
            figure, data = _nothing(text), pd.DataFrame(columns=ABSENT)
        # Both files with one layout: finding it takes longer than drawing.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        figure.savefig(svg, dpi=style.DPI, metadata={"Date": None})
        figure.savefig(png, dpi=style.DPI, metadata={"Software": None})
        style.plt.close(figure)
    data.to_csv(csv, index=False)


def _draw(layout: str, table: pd.DataFrame, planned: int, results: Path, prepared: Path):
    """Figure and data of the fits that can be drawn, and a word on those that cannot."""
    reasons = pd.Series([why_absent(fit, results) for _, fit in table.iterrows()])
    shown, absent = table[reasons == ""], table[reasons != ""]
    note = _note(planned, table, reasons)
    rows = absent.assign(method=style.method_names(absent))[ABSENT]
    if shown.empty:
        return _nothing(note), rows
    figure, data = LAYOUTS[layout](shown, results, prepared)
    if len(absent):
        data = pd.concat([data.astype(object), rows.astype(object)])
    if note:
        title = figure.get_suptitle()
        figure.suptitle(f"{note}\n{title}" if title else note)
    return figure, data
