"""Files that the workflow's jobs wrote, to Tables 6 and 7 and their verdicts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from lossless_inr.compression import images, rates, tables
from lossless_inr.compression.recombined import SENT, score
from lossless_inr.published import load_published
from lossless_inr.recombiner import PRIORS

OWN = "own "


def keep(results: Path, folder: Path) -> list[str]:
    """Copy the tables of a scale, and what they say, to be committed; names of those there are."""
    kept = sorted((results / "compression").glob("table?.csv"))
    for table in kept:
        folder.mkdir(parents=True, exist_ok=True)
        for path in (table, table.with_name(f"{table.stem}-verdicts.json")):
            shutil.copyfile(path, folder / path.name)
    return [table.stem for table in kept]


def _printed(groups: dict) -> dict[str, str | None]:
    return {name: group["printed"] for name, group in groups.items()}


def table6(files: dict[str, Path], settings: dict) -> tuple[pd.DataFrame, list[dict]]:
    """Table 6 and its verdicts.

    Parameters
    ----------
    files : dict of str to Path
        `<set> <coder>` -> rows of `rates`. A set that is one signal got a network of its own.
    settings : dict
        Of the scale, as plain data.
    """
    parts = []
    for key, path in files.items():
        name = key.partition(" ")[0]
        parts.append(pd.read_csv(path).assign(set=OWN + name if "/" in name else name))
    printed, published = _printed(settings["shared"]), load_published()
    table = tables.table6(pd.concat(parts, ignore_index=True), published, printed)
    return table, tables.verdicts6(table, published, printed)


def table7(files: dict[str, Path], settings: dict) -> tuple[pd.DataFrame, list[dict]]:
    """Table 7 and its verdicts; the exact coder's rows on the same images stand below.

    Parameters
    ----------
    files : dict of str to Path
        `<set> images`, and `<set> <variant> <part>` -> what was decoded; the sender's part of
        it lies in the folder of the same name.
    settings : dict
        Of the scale, as plain data.
    """
    groups, scores, beside = settings["recombined"], [], []
    for name, group in groups.items():
        found, bits = images.load(files[f"{name} images"])
        named = {f"{k:04d}": image for k, image in enumerate(found)}
        for key, path in files.items():
            if key.split(" ")[0] != name or key.endswith(" images"):
                continue
            variant, part = key.split(" ")[1:]
            first = int(part) * group["part"]
            own = {k: v for k, v in named.items() if first <= int(k) < first + group["part"]}
            sent = pd.read_csv(path.with_suffix("") / SENT, dtype={"name": str})
            scores.append(
                score(pd.read_parquet(path), sent, own).assign(
                    set=name,
                    variant=variant,
                    prior_bytes=(PRIORS / f"{variant}.npz").stat().st_size,
                )
            )
        for network in group["beside"]:
            beside.append(rates.shared_row(network, found, bits) | {"set": name})
    printed, published = _printed(groups), load_published()
    table = tables.table7(pd.concat(scores, ignore_index=True), published, printed)
    other = pd.DataFrame(beside, columns=["set", *rates.COLUMNS])
    verdicts = tables.verdicts7(table, other)
    return pd.concat([table, tables.beside7(other)], ignore_index=True), verdicts
