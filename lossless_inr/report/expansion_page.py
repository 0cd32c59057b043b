"""Table 5: bit-depth expansion, each method beside print and beside what needs no network."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lossless_inr.expansion.summary import is_paper, summary, verdicts
from lossless_inr.report.labels import method_name

RULE_NAMES = {
    "zero_padding": "Zero padding (ZP)",
    "ideal_gain": "Ideal gain (MIG)",
    "bit_replication": "Bit replication (BR)",
    "midpoint": "Midpoint (not in the paper)",
    "random_bits": "Random low bits (not in the paper)",
    "neighbours": "Posterior mean by four neighbours, no network (ours)",
}
# Networks with training data of their own: quoted, never run.
SUPERVISED = {
    "becnn": "BECNN, supervised",
    "bitnet": "BitNet (Byun et al. 2018), supervised",
    "abcd": "ABCD, supervised",
}
ESTIMATES = {
    "threshold": "thresholded",
    "expected": "expected value",
    "value": "clamped to the interval",
    "posterior": "posterior mean",
}


def row_name(row: pd.Series) -> str:
    """What a row of `expansion.summary.summary` is called."""
    if row.estimate == "rule":
        return RULE_NAMES[row.method]
    grid = f"of_bits={row.target}"
    variant = ", ".join(part for part in row.variant.split(", ") if part != grid)
    name = method_name(row.to_dict() | {"variant": variant})
    if row.representation == "bitplane":
        name += f", grid of {row.target}" if grid in row.variant else ", outside"
    return f"{name}, {row.budget:,} iterations, {ESTIMATES[row.estimate]}"


def _printed(row: pd.Series, cells: dict) -> list | None:
    """PSNR and SSIM as printed: of a rule, or of the paper's method in either reading."""
    if row.estimate == "rule":
        return cells.get(row.method)
    return cells.get("bitplane") if is_paper(row) else None


def expansion_page(results: Path, fits: pd.DataFrame, published: dict) -> dict | None:
    """What the page of Table 5 shows; None where nothing was expanded.

    Parameters
    ----------
    results : Path
        `results/<scale>`, with `expansion/scores.parquet` (see `expansion.scores.score`).
    fits : DataFrame
        The table of fits; expansions of others are left out.
    published : dict
        The printed numbers.

    Returns
    -------
    dict or None
        `sections` (one for each expansion: `rows` beside print, and `quoted` rows that are printed
        only), `verdicts`, and `missing` (fits without a network to ask).
    """
    path = results / "expansion/scores.parquet"
    if not path.is_file():
        return None
    scores = pd.read_parquet(path)
    scores = scores[(scores.estimate == "rule") | scores.spec_digest.isin(fits.spec_digest)]
    table = summary(scores)
    if table.empty:
        return None
    sections = []
    for expansion, group in table.groupby("expansion", sort=False):
        cells = published["table5"].get(expansion, {})
        sections.append(
            {
                "slug": f"expansion-{expansion}",
                "title": f"{group.bits.iloc[0]} to {group.target.iloc[0]} bits",
                "images": int(group.images.max()),
                "printed": bool(cells),
                "rows": [
                    {"name": row_name(row), "row": row, "printed": _printed(row, cells)}
                    for _, row in group.iterrows()
                ],
                "quoted": [
                    {"name": name, "printed": cells[key]}
                    for key, name in SUPERVISED.items()
                    if cells.get(key)
                ],
            }
        )
    missing = scores[scores.squared_error.isna()]
    return {
        "sections": sections,
        "verdicts": verdicts(table, scores, published),
        "missing": missing[["signal", "expansion", "method", "reason"]].to_dict("records"),
    }
