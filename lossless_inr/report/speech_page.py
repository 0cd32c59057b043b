"""Table 9: what a speech recogniser makes of the reconstructions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lossless_inr.report.labels import method_name
from lossless_inr.speech.summary import heard_fits, summary, verdict


def _printed(row: pd.Series, table: dict) -> float | None:
    """The paper's PSNR of this method: value regression by SIREN or DINER, or SIREN's planes."""
    if row.representation == "direct":
        return table.get(row.network)
    if row.representation == "bitplane" and row.network == "siren":
        return table.get("bitplane")
    return None


def speech_page(results: Path, fits: pd.DataFrame, published: dict) -> dict | None:
    """What the page of Table 9 shows; None where nothing was transcribed.

    Parameters
    ----------
    results : Path
        `results/<scale>`, with `speech/transcripts.parquet` (see `speech.transcripts.transcribe`).
    fits : DataFrame
        The table of fits.
    published : dict
        The printed numbers.

    Returns
    -------
    dict or None
        `rows` (methods), `verdict`, `utterances` (each transcript of an original, and who heard
        something else) and `not_heard` (fits without reconstruction).
    """
    path = results / "speech/transcripts.parquet"
    if not path.is_file():
        return None
    table = pd.read_parquet(path)
    heard = heard_fits(fits, table[table.spec_digest.isin(fits.spec_digest)])
    if heard.empty:
        return None
    heard["name"] = [method_name(row) for _, row in heard.iterrows()]
    rows = [
        {"name": method_name(row), "row": row, "printed": _printed(row, published["table9"])}
        for _, row in summary(heard).iterrows()
    ]
    utterances = []
    for signal, group in heard.groupby("signal", sort=False):
        differs = group[group.transcript.notna() & (group.transcript != group.reference)]
        utterances.append(
            {
                "signal": signal,
                "reference": group.reference.iloc[0],
                "differs": [
                    {"name": f"{one.name_} ({one.budget:,})", "transcript": one.transcript}
                    for one in differs.rename(columns={"name": "name_"}).itertuples()
                ],
            }
        )
    missing = heard[heard.transcript.isna()]
    return {
        "rows": rows,
        "verdict": verdict(heard),
        "utterances": utterances,
        "not_heard": missing[["name", "signal", "reason"]].to_dict("records"),
    }
