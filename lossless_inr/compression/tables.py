"""Tables 6 and 7 from measured rows, beside the printed ones, and what they say of the claims.

Pure functions of tables; imports no torch.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from lossless_inr.compression.interval import interval

# Which printed row of Table 6 a codec stands beside, by the settings that made it.
PRINTED_ROWS = {
    "PNG, level 1, RLE (OpenCV's default)": "png",
    "WebP lossless (Pillow's default)": "webp",
    "JPEG 2000, box (Pillow)": "jpeg2000",
    "TIFF, LZW and predictor (OpenCV's default)": "tiff",
}
OURS, ALONE, BLIND = "ours, digits", "ours, digits-alone", "ours, digits-blind"
NEAR = 0.05  # bits per pixel within which a printed rate counts as found again
THRESHOLDED = "planes, thresholded"
TITLES = {
    "value": "RECOMBINER, grey values (lossy)",
    THRESHOLDED: "RECOMBINER with bit planes, thresholded as in the paper",
    "planes": "the same file with a residual: exact",
    "planes-free": "with bit planes and a residual, at the rate where both are shortest",
}
HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"


def table6(rows: pd.DataFrame, published: dict, printed: dict[str, str | None]) -> pd.DataFrame:
    """Rows of every set, shortest files first, with the printed rate where there is one.

    Parameters
    ----------
    rows : DataFrame
        Of `rates`, with their `set`.
    published : dict
        The printed numbers.
    printed : dict of str to str or None
        Set -> data set of the printed table.
    """
    table = rows.copy()
    table["printed"] = [
        published["table6"].get(printed.get(row.set) or "", {}).get(PRINTED_ROWS.get(row.coder))
        for row in rows.itertuples()
    ]
    table["printed"] = table["printed"].astype(float)
    order = {name: place for place, name in enumerate(dict.fromkeys(rows.set))}
    table["place"] = table.set.map(order)
    table = table.sort_values(["place", "file"], kind="stable")
    return table.drop(columns="place").reset_index(drop=True)


def _verdict(claim: str, holds: bool | None, reason: str) -> dict:
    word = OPEN if holds is None else HOLDS if holds else FAILS
    return {"claim": claim, "verdict": word, "reason": reason}


def verdicts6(table: pd.DataFrame, published: dict, printed: dict[str, str | None]) -> list[dict]:
    """What the rates say: of the print, of the paper's claim, and of ours.

    Returns
    -------
    list of dict
        `claim`, `verdict` (holds, does not hold, not decided) and `reason`.
    """
    found = []
    # Images with a network each are one set here.
    sets = table.set.where(~table.set.str.startswith("own "), "a network for each image")
    for name, part in table.groupby(sets, sort=False):
        data_set = printed.get(name)
        rates = part.set_index("coder").file
        if data_set is not None:
            found += _against_print(name, rates, published["table6"][data_set])
        exact = part[part.exact.notna() & part.coder.str.startswith("ours")]
        if len(exact):
            right, files = int(exact.exact.sum()), int(exact.images.sum())
            claim = f"Every file of the exact coder decodes exactly ({name})"
            found.append(_verdict(claim, right == files, f"{right:,} of {files:,} files"))
        if OURS in rates.index:
            known = int(part.set_index("coder").seen[OURS])
            claim = f"No image is one that the network of digits was trained on ({name})"
            reason = f"{known} of {int(part.images.max()):,} by SHA-256 of their samples"
            found.append(_verdict(claim, not known, reason))
        if OURS in rates.index and BLIND in rates.index:
            share = 1 - rates[OURS] / rates[BLIND]
            reason = f"{rates[OURS]:.3f} bits per pixel, {rates[BLIND]:.3f} without coordinates"
            if ALONE in rates.index:
                reason += f", {rates[ALONE]:.3f} with coordinates and no neighbours"
            claim = f"What the exact coder gains over codecs is the coordinates' ({name})"
            found.append(_verdict(claim, share > 0.1, reason))
    return found


def _against_print(name: str, rates: pd.Series, printed: dict) -> list[dict]:
    found, differ = [], []
    known = [(coder, row) for coder, row in PRINTED_ROWS.items() if coder in rates.index]
    for coder, row in known:
        if abs(rates[coder] - printed[row]) > NEAR:
            differ.append(f"{coder} {rates[coder]:.2f} for {printed[row]:.2f}")
    if known:
        reason = "; ".join(differ) or ", ".join(
            f"{row} {rates[coder]:.2f} for {printed[row]:.2f}" for coder, row in known
        )
        claim = f"The printed rates of codecs come back within {NEAR} bits per pixel ({name})"
        found.append(_verdict(claim, not differ, reason))
    own = printed["recombiner+bitplane"]
    codecs = rates[[one for one in rates.index if not one.startswith(("ours", "zero-order"))]]
    if len(codecs):
        best = codecs.idxmin()
        claim = f"RECOMBINER with bit planes is shorter than codecs, as printed ({name})"
        reason = f"printed {own:.2f}; {best} takes {codecs[best]:.3f}"
        found.append(_verdict(claim, own < codecs[best], reason))
    return found


def own_means(table: pd.DataFrame) -> pd.DataFrame:
    """Coder x image and the mean, bits per pixel, of the images with a network each."""
    own = table[table.set.str.startswith("own ")]
    wide = own.pivot(index="coder", columns="set", values="file")
    wide.columns = [name.removeprefix("own ").rpartition("/")[2] for name in wide.columns]
    wide["mean"] = wide.mean(axis=1, skipna=False)
    return wide.sort_values("mean")


def table7(scores: pd.DataFrame, published: dict, printed: dict[str, str | None]) -> pd.DataFrame:
    """A row per set and variant; with bit planes one more for what thresholding alone gives.

    Parameters
    ----------
    scores : DataFrame
        Of `recombined.score`, with `set`, `variant` and `prior_bytes`.
    published : dict
    printed : dict of str to str or None
        Set -> data set of the printed table.
    """
    rows = []
    for (name, variant), part in scores.groupby(["set", "variant"], sort=False):
        row = _table7_row(part, name, variant)
        if variant == "planes":
            rows.append(_without_residual(part, row))
        rows.append(row)
    numbers = published["table7"]
    for row in rows:
        own = numbers.get(printed.get(row["set"]) or "", {})
        cell = {"value": "recombiner", THRESHOLDED: "recombiner+bitplane"}.get(row["variant"])
        bpp, psnr, ssim, rmse = own.get(cell, [math.nan] * 4)
        row |= {"printed": bpp, "printed_psnr": psnr, "printed_ssim": ssim, "printed_rmse": rmse}
    return pd.DataFrame(rows)


def _table7_row(part: pd.DataFrame, name: str, variant: str) -> dict:
    rates = (part.file_bits / part.pixels).to_numpy()
    low, high = interval(rates)

    def mean(column: str) -> float:
        return float((part[column] / part.pixels).mean())

    return {
        "set": name, "variant": variant, "title": TITLES[variant], "images": len(part),
        "file": rates.mean(), "low": low, "high": high, "blocks": mean("block_bits"),
        "kl": mean("kl_bits"), "residual": mean("residual_bits"), "exact": int(part.exact.sum()),
        **_pooled(part.rmse, part.ssim, part.ber),
        "updates": int(part.updates.iloc[0]), "prior_bytes": int(part.prior_bytes.iloc[0]),
        "encode_s": float(part.encode_s.mean()), "decode_ms": 1000 * float(part.decode_s.median()),
    }  # fmt: skip


def _pooled(rmse: pd.Series, ssim: pd.Series, ber: pd.Series) -> dict:
    """Quality over images: RMSE and PSNR of all squared errors together, SSIM and BER as means."""
    pooled = float(np.sqrt(np.square(rmse).mean()))
    psnr = math.inf if pooled == 0 else 20 * math.log10(255 / pooled)
    return {"psnr": psnr, "ssim": float(ssim.mean()), "rmse": pooled, "ber": float(ber.mean())}


def _without_residual(part: pd.DataFrame, row: dict) -> dict:
    """The file without its residual: the network's bits at their sign."""
    rates = ((part.head_bits + part.block_bits) / part.pixels).to_numpy()
    low, high = interval(rates)
    quality = _pooled(part.network_rmse, part.network_ssim, part.network_ber)
    own = {
        "variant": THRESHOLDED, "title": TITLES[THRESHOLDED], "file": rates.mean(), "low": low,
        "high": high, "residual": 0.0, "exact": int((part.network_ber == 0).sum()),
    }  # fmt: skip
    return row | own | quality


def beside7(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the exact coder as rows of Table 7: no network of the image's own is in its files."""
    return pd.DataFrame(
        {
            "set": rows.set, "variant": "", "title": rows.coder, "images": rows.images,
            "file": rows.file, "low": rows.low, "high": rows.high, "residual": rows.payload,
            "exact": rows.exact, "psnr": math.inf, "ssim": 1.0, "rmse": 0.0, "ber": 0.0,
            "prior_bytes": rows.network_bytes, "encode_s": rows.encode_ms / 1000,
            "decode_ms": rows.decode_ms,
        }
    )  # fmt: skip


def verdicts7(table: pd.DataFrame, beside: pd.DataFrame) -> list[dict]:
    """What the rates say of the printed claims.

    Parameters
    ----------
    table : DataFrame
        Of `table7`.
    beside : DataFrame
        Rows of `rates` on the same images, with their `set`.
    """
    found = []
    for name, part in table.groupby("set", sort=False):
        rows = {row["variant"]: row for row in part.to_dict("records")}
        if (row := rows.get(THRESHOLDED)) is not None:
            n, exact = row["images"], row["exact"]
            reason = (
                f"{exact} of {n} images at {row['file']:.2f} bits per pixel, BER {row['ber']:.4f}, "
                f"after {int(row['updates']):,} updates and some for each block; the authors take "
                "30,000, of a larger network, and more updates help"
            )
            claim = f"A thresholded sample of weights is lossless at the printed rate ({name})"
            # What fewer updates do not reach says nothing of more.
            found.append(_verdict(claim, exact == n or None, reason))
        if (row := rows.get("value")) is not None and row["printed"] == row["printed"]:
            reason = (
                f"{row['psnr']:.2f} dB at {row['file']:.2f} bits per pixel, printed "
                f"{row['printed_psnr']:.2f} dB at {row['printed']:.2f}"
            )
            claim = f"RECOMBINER reaches the printed PSNR at the printed rate ({name})"
            reached = row["psnr"] >= row["printed_psnr"] - 1
            found.append(_verdict(claim, reached or None, reason))
        exact_rows = [row for key, row in rows.items() if key in ("planes", "planes-free")]
        if exact_rows:
            right = sum(row["exact"] for row in exact_rows)
            total = sum(row["images"] for row in exact_rows)
            claim = f"With a residual every file decodes exactly ({name})"
            found.append(_verdict(claim, right == total, f"{right} of {total} files"))
        others = beside[(beside.set == name) & beside.coder.str.startswith("ours")]
        if exact_rows and len(others):
            mine = min(exact_rows, key=lambda row: row["file"])
            best = others.loc[others.file.idxmin()]
            reason = (
                f"{mine['file']:.3f} bits per pixel ({mine['variant']}); {best.coder} takes "
                f"{best.file:.3f} on the same images, with {int(best.network_bytes):,} bytes "
                f"shared for {mine['prior_bytes']:,}"
            )
            claim = f"A sample of weights and a residual is shorter than a shared network ({name})"
            found.append(_verdict(claim, mine["file"] < best.file, reason))
    return found
