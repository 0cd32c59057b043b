"""The report's pages about claims: verdicts with their evidence, the bound, the audit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lossless_inr.analysis import bound
from lossless_inr.analysis.audit import audit
from lossless_inr.analysis.verdicts import verdicts


def mean_plane_errors(results: Path, fit: pd.Series) -> pd.Series:
    """Mean BER of each plane over a fit's curve, least significant first."""
    curve = pd.read_parquet(results / fit.folder / "curve.parquet")
    planes = [f"plane_{k}" for k in range(fit.bits)]
    return (curve[planes].mean() / fit.samples).reset_index(drop=True)


def findings(fits: pd.DataFrame, results: Path, published: dict) -> dict:
    """What the pages show, as plain data.

    Parameters
    ----------
    fits : DataFrame
        The table of fits.
    results : Path
        `results/<scale>`, for the curves.
    published : dict
        The printed numbers.
    """
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
        "bound": bound.table(published).to_dict("records"),
        "bound_says": bound.WHAT_IT_SAYS,
        "audit": audit(published).to_dict("records"),
    }
