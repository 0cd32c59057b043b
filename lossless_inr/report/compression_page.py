"""Tables 6 and 7: rates beside the printed ones, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from lossless_inr.compression.tables import own_means

# Where a scale keeps them, and where a finished run of them is committed.
FOLDER, REFERENCE = "compression", Path("results/reference/compression")
SET_TITLES = {
    "mnist": "MNIST test digits, 28×28 (Table 6)",
    "fashion_mnist": "Fashion-MNIST test images, 28×28 (Table 6)",
    "kodak64": "Kodak at 64×64, RGB",
    "speech": "LibriSpeech, 16 bit, bits per sample",
}


def compression_page(
    results: Path, published: dict, *, here_only: bool = False, reference: Path = REFERENCE
) -> dict | None:
    """What the page of compression shows; None where nothing was measured.

    Parameters
    ----------
    results : Path
        `results/<scale>`; a table that this scale did not measure is taken from `reference`.
    published : dict
        The printed numbers (`lossless_inr.published`).
    here_only : bool
        Leave out what this scale did not measure.
    reference : Path
        Committed tables.

    Returns
    -------
    dict or None
        `table6` and `table7`, each None or with `committed`, `verdicts`, `left_out`, and the rows.
    """
    folders = [results / FOLDER] + ([] if here_only else [reference])
    found = {}
    for name, content in (("table6", _table6), ("table7", _table7)):
        folder = next((one for one in folders if (one / f"{name}.csv").is_file()), None)
        found[name] = None
        if folder is not None:
            table = pd.read_csv(folder / f"{name}.csv")
            said = json.loads((folder / f"{name}-verdicts.json").read_text(encoding="utf-8"))
            found[name] = content(table, published) | said | {"committed": folder == reference}
    return found if any(found.values()) else None


def _records(table: pd.DataFrame) -> list[dict]:
    table = table.astype(object)
    return table.where(table.notna(), None).to_dict("records")


def _table6(table: pd.DataFrame, published: dict) -> dict:
    own = table.set.str.startswith("own ")
    sections = [
        {
            "name": name,
            "title": SET_TITLES.get(name, name),
            "paper": published["table6"].get(name, {}).get("recombiner+bitplane"),
            "rows": _records(part),
        }
        for name, part in table[~own].groupby("set", sort=False)
    ]
    return {"sections": sections, "own": _own(table) if own.any() else None}


def _own(table: pd.DataFrame) -> dict:
    means = own_means(table)
    mine = table[table.set.str.startswith("own ") & table.exact.notna()]
    mine = mine[mine.coder.str.startswith("ours")]
    return {
        "images": [name for name in means.columns if name != "mean"],
        "rows": [(coder, list(values)) for coder, values in means.iterrows()],
        "exact": int(mine.exact.sum()),
        "files": len(mine),
        "train_s": float(mine.train_s.median()),
        "encode_s": float(mine.encode_ms.median()) / 1000,
        "decode_s": float(mine.decode_ms.median()) / 1000,
        "peak_mib": float(mine.peak_mib.max()),
        "network_bytes": float(mine.network_bytes.mean()),
    }


def _table7(table: pd.DataFrame, published: dict) -> dict:
    sections = [
        {"name": name, "rows": _records(part)} for name, part in table.groupby("set", sort=False)
    ]
    return {"sections": sections}
