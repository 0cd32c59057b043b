"""Bits per sample: outside programs beside the weights of networks on the same signals."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lossless_inr.metrics import psnr
from lossless_inr.report.labels import method_name


def _name(row: pd.Series, names: dict[tuple, str]) -> str:
    if row.source == "fit":
        return names.get((row.program, row.variant), row.program)
    return f"{row.variant} ({row.program})" if row.variant else row.program


def _pooled(group: pd.DataFrame, column: str) -> float | None:
    """Bits over samples, of the signals that have both."""
    known = group[group[column].notna()]
    return (known[column] * known.samples).sum() / known.samples.sum() if len(known) else None


def _row(group: pd.DataFrame, name: str) -> dict:
    fit = group.source.iloc[0] == "fit"
    ran = group[group.status != "failed"]
    # A fit and a signal are counted apart: a signal is lossless if each of its seeds is.
    lossless = (group.status == "lossless").groupby(group.signal).all()
    signals = group.drop_duplicates("signal")
    bits = int(group.bits.iloc[0])
    measured = ran[ran.ber.notna()]
    squared = (
        (measured.samples * ((2**bits - 1) / 10 ** (measured.psnr / 20)) ** 2).sum()
        if len(measured)
        else None
    )
    return {
        "name": name,
        "fit": fit,
        "signals": len(signals),
        "failed": int((group.status == "failed").groupby(group.signal).any().sum()),
        "lossless": int(lossless.sum()),
        "bits_per_sample": _pooled(ran, "bits_per_sample"),
        "zstd": _pooled(ran, "bits_per_sample_zstd"),
        "psnr": psnr(squared, int(measured.samples.sum()), bits) if len(measured) else None,
        "encode": ran.encode_seconds.median(),
        "decode": ran.decode_seconds.median(),
        "seconds_by": next((s for s in ran.seconds_by if isinstance(s, str)), None),
    }


def rate_page(results: Path, fits: pd.DataFrame) -> dict | None:
    """What the page of rates shows; None where no outside program was asked for.

    Parameters
    ----------
    results : Path
        `results/<scale>`, with `rate.parquet` (see `baselines.rate.rate_table`).
    fits : DataFrame
        The table of fits, for the names of methods.

    Returns
    -------
    dict or None
        `sections` (a set of signals each, smallest rate first), `failures` and
        `not_applicable` with their reasons.
    """
    path = results / "rate.parquet"
    if not path.is_file():
        return None
    table = pd.read_parquet(path).astype({"variant": object}).fillna({"variant": "", "reason": ""})
    names = {(f.method, f.variant or ""): method_name(f) for _, f in fits.iterrows()}
    table["name"] = [_name(row, names) for _, row in table.iterrows()]
    tried = table[table.status != "not applicable"]
    sections = []
    keys = ["set", "bits", "encoding"]
    for (group, bits, encoding), part in tried.groupby(keys, sort=False):
        rows = [_row(p, name) for (_, name), p in part.groupby(["source", "name"], sort=False)]
        # Lossless on every signal first, then by rate; what has none comes last.
        rows.sort(
            key=lambda r: (
                r["lossless"] < r["signals"],
                r["bits_per_sample"] is None,
                r["bits_per_sample"] or 0,
            )
        )
        # What it costs to use a network as a codec, which it is not.
        best = min(
            (
                row["bits_per_sample"]
                for row in rows
                if not row["fit"] and row["lossless"] == row["signals"] and row["bits_per_sample"]
            ),
            default=None,
        )
        for row in rows:
            known = best is not None and row["bits_per_sample"] is not None
            row["times_best"] = row["bits_per_sample"] / best if known else None
        depth = f"{bits} bit" if encoding == "integer" else encoding
        sections.append(
            {
                "title": f"{group}, {depth}",
                "slug": f"rate-{group}-{depth}".replace("/", "-").replace(" bit", ""),
                "rows": rows,
                "signals": part.signal.nunique(),
            }
        )
    programs = table[table.source == "program"]

    def reasons(status: str) -> list[dict]:
        chosen = programs[programs.status == status]
        return chosen[["name", "signal", "reason"]].to_dict("records")

    return {
        "sections": sections,
        "failures": reasons("failed"),
        "not_applicable": reasons("not applicable"),
    }
