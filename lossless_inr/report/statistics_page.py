"""What the page of statistics shows: methods over signals, and pairs within both budgets."""

from __future__ import annotations

import pandas as pd

from lossless_inr.analysis import comparisons, methods
from lossless_inr.report.curves import BestSoFar, Curves
from lossless_inr.report.drawers import anchor
from lossless_inr.report.labels import KIND_TITLES, names_of_fits, with_widths

MARKS = {
    comparisons.YES: ("good", "✓ survives"),
    comparisons.REVERSED: ("warn", "✗ reversed"),
    comparisons.UNDECIDED: ("", "not decided"),
}


def statistics(fits: pd.DataFrame, curves: Curves) -> list[dict]:
    """One entry per kind, depth and size of data.

    Parameters
    ----------
    fits : DataFrame
        The table of fits, without those that stand in for a longer one.
    curves : Curves
    """
    known: dict[str, BestSoFar] = {}
    fit_names = names_of_fits(fits)

    def best(fit: pd.Series) -> BestSoFar:
        if fit.spec_digest not in known:
            known[fit.spec_digest] = curves.best(fit)
        return known[fit.spec_digest]

    found = []
    for (kind, bits, shape), group in methods.groups(fits):
        names = dict(zip(group.spec_digest, with_widths(group), strict=True))
        pairs = []
        for reference in comparisons.REFERENCES:
            rows = comparisons.against(group, reference, best)
            if rows:
                name = names[rows[0].reference.spec_digest]
                tested = any(p is not None for row in rows for p in (row.p_paper, row.p_flops))
                shown = [_row(row, names, fit_names) for row in rows]
                pairs.append({"reference": name, "rows": shown, "tested": tested})
        found.append(
            {
                "title": f"{KIND_TITLES.get(kind, kind)}, {bits} bits, {shape}",
                "slug": f"{kind}-{bits}-{shape}",
                "n": group.signal.nunique(),
                "methods": [
                    {"name": names[m.method.spec_digest], "summary": m}
                    for m in methods.summarise_methods(group)
                ],
                "pairs": pairs,
            }
        )
    return found


def _row(row: comparisons.Comparison, names: dict[str, str], fit_names: dict[str, str]) -> dict:
    style, mark = MARKS[row.survives]
    if row.paper is None:
        mark = "–"
    who = {comparisons.REFERENCE: "reference", comparisons.METHOD_AHEAD: "this method"}
    return {
        "name": names[row.method.spec_digest],
        "pair": row,
        "style": style,
        "mark": mark,
        "ahead_paper": who.get(row.ahead_paper, row.ahead_paper or ""),
        "ahead_flops": who.get(row.ahead_flops, row.ahead_flops),
        "evidence": [{"id": anchor(digest), "name": fit_names[digest]} for digest in row.evidence],
    }
