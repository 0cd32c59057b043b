"""The table of rates: outside programs beside the weights of INRs on the same signals."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lossless_inr.baselines.score import Score
from lossless_inr.codecs import zstd_size

COLUMNS = [
    "source", "program", "variant", "signal", "set", "bits", "encoding", "samples", "status",
    "reason", "bits_per_sample", "bits_per_sample_zstd", "encode_seconds", "decode_seconds",
    "seconds_by", "psnr", "ssim", "ber", "seed",
]  # fmt: skip


def weights_size(path: Path) -> tuple[int, int] | None:
    """Bytes of saved weights, plain and by Zstandard; None where there is no such file.

    Parameters
    ----------
    path : Path
        A safetensors file; its header is not counted.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    # The format begins with the length of its header, as a little-endian u64.
    tensors = content[8 + int.from_bytes(content[:8], "little") :]
    return len(tensors), zstd_size(tensors)


def signal_set(signal: str) -> str:
    """`set/size` of `set/size/name`."""
    return signal.rsplit("/", 1)[0]


def _of_score(one: Score) -> dict:
    quality = one.quality.model_dump() if one.quality else {}
    return {
        "source": "program",
        "program": one.program,
        "variant": one.variant,
        "signal": one.signal,
        "bits": one.bits,
        "encoding": one.encoding,
        "samples": one.samples,
        "status": one.status,
        "reason": one.reason,
        "bits_per_sample": one.bits_per_sample,
        "encode_seconds": one.encode_seconds,
        "decode_seconds": one.decode_seconds,
        "seconds_by": one.seconds_by,
        **{name: quality.get(name) for name in ("ssim", "ber")},
        "psnr": one.quality.psnr if one.quality else None,
    }


def _of_fit(fit: pd.Series, results: Path) -> dict:
    sizes = weights_size(results / fit.folder / "weights.safetensors")
    sure = fit.status == "lossless" and fit.verified is True
    return {
        "source": "fit",
        "program": fit.method,
        "variant": fit.variant or "",
        "signal": fit.signal,
        "bits": fit.bits,
        "samples": fit.samples,
        "status": "lossless" if sure else "failed" if fit.status == "failed" else "lossy",
        "reason": fit.error or "",
        "bits_per_sample": 8 * sizes[0] / fit.samples if sizes else None,
        "bits_per_sample_zstd": 8 * sizes[1] / fit.samples if sizes else None,
        "encode_seconds": fit.seconds,
        "seconds_by": "suite",
        "psnr": fit.psnr,
        "ssim": fit.ssim,
        "ber": fit.ber,
        "seed": fit.seed,
    }


def rate_table(scores: list[Score], fits: pd.DataFrame, results: Path) -> pd.DataFrame:
    """One row per program, variant and signal, then one per fit of the same signals.

    Parameters
    ----------
    scores : list of Score
    fits : DataFrame
        The table of fits (`experiments.tables.collect`).
    results : Path
        `results/<scale>`, where the folders of fits are.

    Returns
    -------
    DataFrame
        `COLUMNS`. Of a fit: `bits_per_sample` is that of its weights as saved, `lossless` needs
        it to be verified, and `encode_seconds` are those of the fitting loop.
    """
    encodings = {one.signal: one.encoding for one in scores}
    rows = [_of_score(one) for one in scores]
    for _, fit in fits[fits.signal.isin(encodings)].astype(object).iterrows():
        plain = fit.where(fit.notna(), None)
        rows.append(_of_fit(plain, results) | {"encoding": encodings[fit.signal]})
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["set"] = [signal_set(name) for name in table.signal]
    numbers = ["bits_per_sample", "bits_per_sample_zstd", "encode_seconds", "decode_seconds"]
    types = {name: "float64" for name in [*numbers, "psnr", "ssim", "ber"]}
    return table.astype(types | {"seed": "Int64", "samples": "int64", "bits": "int64"})
