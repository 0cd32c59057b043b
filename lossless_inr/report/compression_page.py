"""Rates of the exact coder beside codecs, and the printed ones (Table 6)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

MNIST, KODAK = "results/coder-mnist.csv", "results/coder-kodak64.csv"
NATIVE = "results/coder-native.csv"
FILES = (MNIST, KODAK, NATIVE)
# Which printed row a coder stands beside.
PRINTED = {
    "PNG, level 1, RLE (OpenCV's default)": "png",
    "WebP lossless, level 100": "webp",
    "JPEG 2000, box (Pillow)": "jpeg2000",
    "TIFF, LZW and predictor (Pillow)": "tiff",
}


def compression_page(folder: Path, published: dict) -> dict | None:
    """What the page of compression shows; None where nothing was measured.

    Parameters
    ----------
    folder : Path
        `benchmarks`, with those of `FILES` that are there.
    published : dict
        The printed numbers (`lossless_inr.published`).

    Returns
    -------
    dict or None
        `paper` (the printed rate of the paper's own method on MNIST), `mnist` and `kodak` (rows,
        shortest files first, with `printed` where there is one) and
        `native` (a row per coder, bits per pixel of each image, and their mean).
    """
    mnist, kodak, native = (_rows(folder / name) for name in FILES)
    if mnist is None:
        return None
    printed = published["table6"]["mnist"]
    rows = [row | {"printed": printed.get(PRINTED.get(row["coder"]))} for row in mnist]
    return {
        "paper": printed["recombiner+bitplane"],
        "mnist": sorted(rows, key=lambda row: row["file"]),
        "kodak": sorted(kodak or [], key=lambda row: row["file"]),
        "native": _by_coder(native),
    }


def _rows(path: Path) -> list[dict] | None:
    if not path.is_file():
        return None
    table = pd.read_csv(path).astype(object)
    return table.where(table.notna(), None).to_dict("records")


def _by_coder(rows: list[dict] | None) -> dict | None:
    if not rows:
        return None
    table = pd.DataFrame(rows)
    rates = table.pivot(index="coder", columns="image", values="bpp").astype(float)
    rates["mean"] = rates.mean(axis=1)
    rates = rates.sort_values("mean")
    own = table[table.exact.notna()]
    return {
        "images": [name for name in rates.columns if name != "mean"],
        "rows": [(coder, list(values)) for coder, values in rates.iterrows()],
        "exact": int(own.exact.astype(bool).sum()),
        "files": len(own),
        "seconds": {
            name: float(own[name].astype(float).median())
            for name in ("train_s", "encode_s", "decode_s")
        },
        "network_bytes": float(own.network_bytes.astype(float).mean()),
    }
