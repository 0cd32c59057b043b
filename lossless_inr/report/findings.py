"""The report's pages about claims: verdicts with their evidence, the bound, the audit."""

from __future__ import annotations

import pandas as pd

from lossless_inr.analysis import bound
from lossless_inr.analysis.audit import audit
from lossless_inr.analysis.cells import PAPER_SCALE, TOLERANCE, compare, headline
from lossless_inr.analysis.matched import at_equal_compute
from lossless_inr.analysis.printed import printed_cells
from lossless_inr.analysis.statistics import Summary
from lossless_inr.analysis.verdicts import verdicts
from lossless_inr.experiments.tables import summary_table, times_to_lossless
from lossless_inr.published import load_published
from lossless_inr.report.curves import Curves
from lossless_inr.report.drawers import anchor
from lossless_inr.report.labels import names_of_fits
from lossless_inr.report.planned import Planned


def answered_cells(
    experiments: dict[str, dict], tables: dict[str, pd.DataFrame], scale: str, planned: Planned
) -> list[dict]:
    """Every printed cell of the tables that fits answer, its measured value and status.

    Parameters
    ----------
    experiments : dict of str to dict
        Validated specs of this scale.
    tables : dict of str to DataFrame
        Fits of each table experiment, with the printed row that each answers to.
    scale : str
    planned : Planned
        Knows of how many signals a cell is; without a plan, those that were run.
    """
    rows, known_values = [], {}
    sets = load_published()["datasets"]
    for printed in printed_cells().itertuples(index=False):
        fits, expected = pd.DataFrame(), 0
        for name, table in tables.items():
            experiment = experiments[name]
            if experiment["published"] != printed.table:
                continue
            same = (table.printed_set == printed.set) & (table.cell == printed.row)
            chosen = table[same.fillna(False)]
            if chosen.empty:
                continue
            fits = chosen[chosen.status != "failed"]
            known = planned.cell_signals(name, printed.set, printed.row)
            expected = chosen.signal.nunique() if known is None else known
            if scale == PAPER_SCALE:  # a part of the set answers nothing, whatever was planned
                expected = max(expected, sets[printed.set]["images"])
        n = fits.signal.nunique() if len(fits) else 0
        key = (printed.table, printed.set, printed.row)
        if n and key not in known_values:
            known_values[key] = _measured(fits)
        measured = known_values[key][printed.metric] if n else None
        cell = compare(
            printed.metric,
            printed.value,
            measured,
            scale=scale,
            n=n,
            expected=max(1, n, expected),
            printed_std=None if pd.isna(printed.std) else printed.std,
        )
        rows.append({"printed": printed, "cell": cell})
    return rows


def _measured(fits: pd.DataFrame) -> dict[str, Summary | float | None]:
    """Metric -> its measured value."""
    (row,) = summary_table(fits.assign(budget=0, cell="")).to_dict("records")
    names = {"psnr": "psnr_pooled", "rmse": "rmse_pooled", "ssim": "ssim_mean", "ber": "ber_mean"}
    values = {metric: row[column] for metric, column in names.items()}
    return values | {"iterations": times_to_lossless(fits)}


def claims(fits: pd.DataFrame, curves: Curves) -> list[dict]:
    """Every claim's verdict, what becomes of it at equal compute, and the fits it rests on.

    Parameters
    ----------
    fits : DataFrame
        The table of fits.
    curves : Curves
    """
    shown = names_of_fits(fits)
    matched = at_equal_compute(fits)

    def links(digests: list[str]) -> list[dict]:
        return [{"id": anchor(digest), "name": shown[digest]} for digest in dict.fromkeys(digests)]

    return [
        {
            "verdict": verdict,
            "matched": (equal := matched[verdict.key]),
            "survives": equal.survives(verdict),
            "evidence": links(verdict.evidence),
            "evidence_matched": links(equal.evidence)
            if set(equal.evidence) != set(verdict.evidence)
            else [],
        }
        for verdict in verdicts(fits, curves.plane_errors)
    ]


def on_paper(published: dict) -> dict:
    """What follows from the printed numbers alone: the bound, and the audit."""
    return {
        "bound": bound.table(published).to_dict("records"),
        "bound_says": bound.WHAT_IT_SAYS,
        "audit": audit(published).to_dict("records"),
    }


def findings(
    fits: pd.DataFrame,
    curves: Curves,
    published: dict,
    experiments: dict[str, dict],
    tables: dict[str, pd.DataFrame],
    scale: str,
    planned: Planned,
) -> dict:
    """What the pages about claims and cells show, as plain data.

    Parameters
    ----------
    fits, curves
        See `claims`. Fits that only stand in for a longer one that is not run are left out.
    published : dict
        The printed numbers.
    experiments, tables, scale, planned
        See `answered_cells`.
    """
    cells = answered_cells(experiments, tables, scale, planned)
    whole = fits[~fits.spec_digest.isin(planned.cut_short())]
    return {
        "claims": claims(whole, curves),
        "cells": cells,
        "cells_headline": headline([row["cell"] for row in cells]),
        "tolerance": TOLERANCE,
    } | on_paper(published)
