"""What guards the code: accepted baselines of the regression gate, and how well it catches."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

# Acceptances that the table of methods shows, newest last.
SHOWN = 6
# What the page reads, below `benchmarks`; all but the first may be missing.
HISTORY, BANDS = "baseline/history.jsonl", "baseline/bands.json"
POWER, RERUNS = "results/regress-power.csv", "results/regress-reruns.csv"
FILES = (HISTORY, BANDS, POWER, RERUNS)


def guard_page(folder: Path) -> dict | None:
    """What the page of the regression gate shows; None where no baseline was ever accepted.

    Parameters
    ----------
    folder : Path
        `benchmarks`, with those of `FILES` that are there.

    Returns
    -------
    dict or None
        `accepted` (all acceptances, newest first), `columns` (days of the last ones), `methods`
        (accepted means by method, and the band), `faults` and `reruns` (rows of the studies).
    """
    path = folder / HISTORY
    if not path.is_file():
        return None
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    bands = _read_bands(folder / BANDS)
    last = entries[-SHOWN:]
    methods = []
    for method in sorted({name for entry in last for name in entry["mean"]}):
        found = [entry["mean"].get(method) for entry in last]
        metrics = [one[0] for one in found if one]
        # Another metric is no change of the number, it is another number.
        means = [one[1] if one and one[0] == metrics[-1] else None for one in found]
        steps = [mean for mean in means if mean is not None]
        methods.append(
            {
                "name": method.removeprefix("fit "),
                "metric": metrics[-1].replace("_", " "),
                "means": means,
                "change": steps[-1] / steps[-2] - 1 if len(steps) > 1 and steps[-2] else None,
                "band": bands.get(method),
            }
        )
    return {
        "accepted": entries[::-1],
        "columns": [entry["when"][:10] for entry in last],
        "methods": methods,
        "faults": _read_rows(folder / POWER),
        "reruns": _summed(_read_rows(folder / RERUNS)),
    }


def _read_bands(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    methods = json.loads(path.read_text(encoding="utf-8"))["methods"]
    return {name: row["band"] for name, row in methods.items()}


def _read_rows(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    return pd.read_csv(path, keep_default_na=False).to_dict("records")


def _summed(rows: list[dict]) -> list[dict]:
    """Reruns by part: how many passed, and under how many settings."""
    if not rows:
        return []
    found = []
    for part, group in pd.DataFrame(rows).groupby("part", sort=False):
        settings = group[["threads", "instructions"]].drop_duplicates()
        found.append(
            {
                "part": part,
                "runs": len(group),
                "passed": int((group.failed == 0).sum()),
                "settings": len(settings),
            }
        )
    return found
