"""The page about the run itself: a bar per shard, who waited for what, and the overhead."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from lossless_inr.analysis.timeline import PAPER_FIT, Span, timeline
from lossless_inr.experiments.spec import FitConfig

WIDTH, TALLEST, HEIGHT = 900, 14.0, 700.0
TARGET = 0.05
SHARD_MINUTES = FitConfig().shard_minutes
PART_TEXT = {
    "loop": "the loops of the fits, with their exact counts",
    "evaluation": "SSIM and snapshots",
    "saving": "writing weights, curves, decoded samples",
    "start": "starting a shard: Python, imports, reading the plan and the signals",
    "between": "between fits: building networks, first measurements, hashing, records",
    "verification": "verification in a fresh process, its start included",
}


def collected_at(results: Path) -> dict[str, str]:
    """When the collecting process began and ended, from the file that it wrote."""
    path = results / "curves.parquet"
    if not path.is_file():
        return {}
    found = pq.read_schema(path).metadata or {}
    names = ("started", "ended")
    return {name: found[name.encode()].decode() for name in names if name.encode() in found}


def bars(spans: list[Span]) -> dict:
    """Rectangles of a Gantt chart as one SVG path per kind, a row per shard in order of begin."""
    shards = list(dict.fromkeys(span.shard for span in spans))
    place = {shard: k for k, shard in enumerate(shards)}
    row = min(TALLEST, HEIGHT / len(shards))
    end = max(span.end for span in spans) or 1.0
    paths: dict[str, list[str]] = {"fit": [], "verify": [], "collect": []}
    for span in spans:
        x = span.begin / end * WIDTH
        wide = max(0.5, (span.end - span.begin) / end * WIDTH)
        y = place[span.shard] * row
        paths[span.kind].append(f"M{x:.1f} {y:.1f}h{wide:.1f}v{row * 0.8:.2f}h-{wide:.1f}z")
    ticks = [(k * WIDTH / 6, _clock(k * end / 6)) for k in range(7)]
    return {
        "paths": {kind: "".join(parts) for kind, parts in paths.items() if parts},
        "width": WIDTH,
        "height": round(row * len(shards) + 1, 1),
        "ticks": ticks,
        "shards": len([shard for shard in shards if shard]),
    }


def _clock(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def timeline_page(fits: pd.DataFrame, results: Path) -> dict | None:
    """What the page shows, or None if the records do not tell."""
    found = timeline(fits, collected_at(results))
    if found is None:
        return None
    total = sum(found.parts.values())
    paper = found.at_paper_scale(60 * SHARD_MINUTES)
    return {
        "run": found,
        "bars": bars(found.spans),
        "elapsed": _clock(found.elapsed),
        "pauses": _clock(found.pauses) if found.pauses else "",
        "waiting": _clock(found.waiting),
        "waiting_share": found.waiting / max(1e-9, found.workers * found.elapsed),
        "parts": [
            {"text": PART_TEXT[name], "seconds": value, "share": value / total if total else 0.0}
            for name, value in found.parts.items()
        ],
        "overhead": found.overhead(),
        "paper": paper,
        "paper_fit": PAPER_FIT,
        "shard_minutes": SHARD_MINUTES,
        "within": paper <= TARGET,
        "target": TARGET,
    }
