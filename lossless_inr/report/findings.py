"""The report's pages about claims: verdicts with their evidence, the bound, the audit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lossless_inr.analysis import bound
from lossless_inr.analysis.audit import audit
from lossless_inr.analysis.cells import TOLERANCE, compare, headline
from lossless_inr.analysis.printed import printed_cells
from lossless_inr.analysis.statistics import Summary
from lossless_inr.analysis.verdicts import verdicts
from lossless_inr.experiments.tables import summary_table, times_to_lossless


def mean_plane_errors(results: Path, fit: pd.Series) -> pd.Series:
    """Mean BER of each plane over a fit's curve, least significant first."""
    curve = pd.read_parquet(results / fit.folder / "curve.parquet")
    planes = [f"plane_{k}" for k in range(fit.bits)]
    return (curve[planes].mean() / fit.samples).reset_index(drop=True)


def answered_cells(
    experiments: dict[str, dict], tables: dict[str, pd.DataFrame], scale: str
) -> list[dict]:
    """Every printed cell of the tables that fits answer, its measured value and status.

    Parameters
    ----------
    experiments : dict of str to dict
        Validated specs of this scale.
    tables : dict of str to DataFrame
        Fits of each table experiment, with the printed row that each answers to.
    scale : str
    """
    rows = []
    for printed in printed_cells().itertuples(index=False):
        fits, names = pd.DataFrame(), []
        for name, table in tables.items():
            experiment = experiments[name]
            if experiment["published"] != printed.table:
                continue
            for beside in experiment["beside"]:
                if beside["set"] == printed.set:
                    same = (table.kind == beside["kind"]) & (table.bits == beside["bits"])
                    fits = table[same & (table.cell == printed.row) & (table.status != "failed")]
                    names = list(table[same & (table.cell == printed.row)].signal.unique())
        measured = _measured(fits, printed.metric) if len(fits) else None
        cell = compare(
            printed.metric,
            printed.value,
            measured,
            scale=scale,
            n=fits.signal.nunique() if len(fits) else 0,
            expected=max(1, len(names)),
            printed_std=None if pd.isna(printed.std) else printed.std,
        )
        rows.append({"printed": printed, "cell": cell})
    return rows


def _measured(fits: pd.DataFrame, metric: str) -> Summary | float | None:
    if metric == "iterations":
        return times_to_lossless(fits)
    (row,) = summary_table(fits.assign(budget=0, cell="")).to_dict("records")
    return row[
        {"psnr": "psnr_pooled", "rmse": "rmse_pooled", "ssim": "ssim_mean"}.get(metric, "ber_mean")
    ]


def findings(
    fits: pd.DataFrame,
    results: Path,
    published: dict,
    experiments: dict[str, dict],
    tables: dict[str, pd.DataFrame],
    scale: str,
) -> dict:
    """What the pages show, as plain data.

    Parameters
    ----------
    fits : DataFrame
        The table of fits.
    results : Path
        `results/<scale>`, for the curves.
    published : dict
        The printed numbers.
    experiments, tables, scale
        See `answered_cells`.
    """
    cells = answered_cells(experiments, tables, scale)
    names = fits.set_index("spec_digest")
    claims = []
    for verdict in verdicts(fits, lambda fit: mean_plane_errors(results, fit)):
        evidence = [
            {"digest": digest[:12], "name": f"{row.title}, {row.method}, seed {row.seed}"}
            for digest, row in names.loc[verdict.evidence].iterrows()
        ]
        claims.append({"verdict": verdict, "evidence": evidence})
    return {
        "claims": claims,
        "cells": cells,
        "cells_headline": headline([row["cell"] for row in cells]),
        "tolerance": TOLERANCE,
        "bound": bound.table(published).to_dict("records"),
        "bound_says": bound.WHAT_IT_SAYS,
        "audit": audit(published).to_dict("records"),
    }
