"""Records to tables. Pure functions of files; imports no torch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from lossless_inr import registry
from lossless_inr.analysis.statistics import Summary, per_signal, summarise_times
from lossless_inr.errors import UserError
from lossless_inr.files import appears
from lossless_inr.fitting import digests
from lossless_inr.fitting.record import Record, Verdict
from lossless_inr.metrics import psnr, rmse
from lossless_inr.schema import validate
from lossless_inr.signals import Signal
from lossless_inr.signals.codes import FLOAT_CODES
from lossless_inr.signals.signal import FULL_DEPTH_PLANES

# Columns that every table of fits begins with; more follow.
FIRST_COLUMNS = [
    "signal", "kind", "bits", "network", "representation", "variant", "method", "recipe", "seed",
    "status",
    "verified", "iterations", "exactness", "flops", "seconds", "psnr", "ssim", "rmse", "ber",
    "parameters", "parameters_per_bit",
]  # fmt: skip


def depth_label(bits: int, informative: int, code: str = "offset") -> str:
    """How deep a signal really is: `16 bit`, or `11 bits in 16` for padded content.

    Floats are called by their type; how many of their planes say something is told elsewhere.

    Examples
    --------
    >>> depth_label(16, 15), depth_label(16, 11), depth_label(8, 8)
    ('16 bit', '11 bits in 16', '8 bit')
    >>> depth_label(32, 19, "float32")
    'float32'
    """
    if code in FLOAT_CODES:
        return code
    # The same allowance of two empty planes that FULL_DEPTH_PLANES gives 16 bits.
    if informative >= bits - (16 - FULL_DEPTH_PLANES):
        return f"{bits} bit"
    return f"{informative} bits in {bits}"


def exactness(record: Record) -> str:
    """How iterations-to-lossless was found.

    `exact`; `exact from k` where the first k updates saw a part of the positions each; or
    `checked every k` iterations, where training is not in float32.
    """
    if record.check_every is not None:
        return f"checked every {record.check_every}"
    start = record.spec.settings.sparse_until
    return f"exact from {start}" if start else "exact"


def row_of(record: Record, verdict: Verdict | None, folder: str, signal: dict) -> dict:
    """One row of the table of fits; metrics without suffix are the best over training.

    `signal` is the prepared signal's metadata. `verified` is null for fits that were not
    lossless and so had nothing to verify.
    """
    spec, timing = record.spec, record.timing
    samples = int(np.prod(spec.shape))
    lossless = record.status == "lossless"
    best = record.best.model_dump() if record.best else {}
    last = record.last.model_dump() if record.last else {}
    floats = record.floats.model_dump() if record.floats else {}

    def number(quality: dict, key: str) -> float | None:
        value = quality.get(key)
        return math.inf if value == "inf" else value

    return {
        "signal": spec.signal,
        "kind": spec.kind,
        "bits": spec.bits,
        "network": spec.network,
        "representation": spec.representation,
        "code": spec.code,
        "variant": spec.variant,
        "method": spec.method,
        "recipe": spec.recipe,
        "seed": spec.seed,
        "status": record.status,
        "verified": (verdict is not None and verdict.verified) if lossless else None,
        "iterations": record.iterations,
        "exactness": exactness(record),
        "flops": record.flops,
        "seconds": timing.fit if timing else None,
        **{key: number(best, key) for key in ("psnr", "ssim", "rmse", "ber")},
        "parameters": record.parameters,
        "parameters_per_bit": record.parameters / (samples * spec.bits)
        if record.parameters
        else None,
        "iterations_to_lossless": record.iterations if lossless else None,
        "budget": spec.iterations,
        **{f"{key}_last": number(last, key) for key in ("psnr", "ssim", "rmse", "ber")},
        "best_squared_error": best.get("squared_error"),
        "best_wrong_bits": best.get("wrong_bits"),
        **{key: floats.get(key) for key in ("wrong_words", "ulp_median", "ulp_max")},
        "samples": samples,
        "samples_seen": record.samples_seen,
        "rows": record.rows,
        "macs_per_row": record.macs_per_row,
        "weight_bits": spec.network_parameters.get("weight_bits", 32.0),
        "activation_bits": spec.network_parameters.get("activation_bits", 32.0),
        "weight_bytes": record.weight_bytes,
        "margin": verdict.margin if verdict else None,
        "reproduced": verdict.reproduced if verdict else None,
        "verify_note": verdict.note if verdict else "",
        "verify_checks": len(verdict.checks) if verdict else 0,
        "depth": depth_label(spec.bits, signal["informative_planes"], spec.code),
        "informative_planes": signal["informative_planes"],
        # Signals that were prepared before it was counted have none.
        "plane_changes": signal.get("plane_changes", math.nan),
        "title": signal["title"],
        "shape": "x".join(map(str, spec.shape)),
        "width": spec.width,
        "hidden_layers": spec.hidden_layers,
        "label": registry.describe("network", spec.network).label,
        "seconds_evaluation": timing.evaluation if timing else None,
        "seconds_saving": timing.saving if timing else None,
        "seconds_startup": timing.startup if timing else None,
        "threads": timing.threads if timing else None,
        "exclusive": timing.exclusive if timing else None,
        "batch": timing.batch if timing else None,
        "precision": record.precision,
        "engine": record.engine,
        "peak_memory_mib": record.peak_memory_mib,
        "device": record.provenance.get("device"),
        "processor": record.provenance.get("machine", {}).get("processor"),
        "commit": (record.provenance.get("git") or {}).get("commit"),
        "started": record.provenance.get("started"),
        "ended": record.provenance.get("ended"),
        "error": record.error,
        "spec_digest": record.spec_digest,
        "folder": folder,
    }


def collect(verdicts: list[dict], results: Path, prepared: Path) -> pd.DataFrame:
    """Every fit of a scale as a row.

    Parameters
    ----------
    verdicts : list of dict
        Entries of the verified shards: `spec_digest`, `folder`, `verdict`, `pack`.
    results, prepared : Path
        `results/<scale>` and `data/prepared`.

    Raises
    ------
    UserError
        If a record changed after it was verified, or two records answer one specification.
    """
    rows: dict[str, dict] = {}
    signals: dict[str, dict] = {}
    for entry in verdicts:
        path = results / entry["folder"] / "record.json"
        appears(path)  # of a machine whose writing may not be seen here at once
        record = Record.load(path)
        verdict = validate(Verdict, entry["verdict"], f"verdict of {entry['folder']}")
        if digests.of_json(record.model_dump()) != verdict.record_digest:
            raise UserError(f"{path}: changed after it was verified; delete it and run again")
        if record.spec_digest in rows:
            raise UserError(
                f"two records for one fit: {rows[record.spec_digest]['folder']} and "
                f"{entry['folder']}; delete one"
            )
        name = record.spec.signal
        if name not in signals:
            signals[name] = Signal.load(prepared / f"{name}.npz").metadata()
        row = row_of(record, verdict, entry["folder"], signals[name])
        rows[record.spec_digest] = row | {"pack": entry.get("pack")}
    table = pd.DataFrame(list(rows.values()))
    # A column that is empty in this scale must still have its type in every scale.
    types = {"verified": "boolean", "reproduced": "boolean", "exclusive": "boolean"}
    types |= {k: "Int64" for k in ("iterations_to_lossless", "parameters", "flops", "rows")}
    types |= {k: "Int64" for k in ("best_wrong_bits", "wrong_words", "samples_seen")}
    types |= {"weight_bytes": "Int64"}
    types |= {"pack": "string"}
    types |= {k: "float64" for k in ("seconds", "psnr", "ssim", "rmse", "ber", "margin")}
    # Beyond 63 bits for words of 32, and a distance of floats can be as long as their word.
    types |= {k: "float64" for k in ("best_squared_error", "ulp_median", "ulp_max")}
    return table.astype(types)


def fits_table(
    fits: pd.DataFrame,
    wanted: list[str],
    cells: dict[str, str] | None = None,
    sets: dict[str, str] | None = None,
) -> pd.DataFrame:
    """Rows of one experiment, in the order of its spec.

    `cell` is the printed row that each answers to, in the part about `printed_set`.

    Raises
    ------
    UserError
        If a fit of the experiment has no record.
    """
    known = set(fits.spec_digest)
    missing = [digest for digest in wanted if digest not in known]
    if missing:
        raise UserError(f"{len(missing)} of {len(wanted)} fits have no record; run the fits first")
    table = fits.set_index("spec_digest", drop=False).loc[wanted].reset_index(drop=True)
    table["cell"] = table.spec_digest.map(cells or {}).astype("string")
    table["printed_set"] = table.spec_digest.map(sets or {}).astype("string")
    rest = [c for c in table.columns if c not in FIRST_COLUMNS]
    return table[FIRST_COLUMNS + rest]


def times_to_lossless(group: pd.DataFrame, cost: str = "iterations") -> Summary | None:
    """Times of one method over signals, seeds first; None if every fit failed."""
    valid = group[group.status != "failed"]
    if valid.empty:
        return None
    signals = per_signal(valid, cost)
    return summarise_times(signals.time, signals.censored)


def iterations_text(group: pd.DataFrame) -> str:
    """For tables: `790 ± 109 (median 781)`, `> 1,000 (0 of 2)`, `40, checked every 4`."""
    times = times_to_lossless(group)
    if times is None:
        return "failed"
    checked = sorted(set(group.exactness[group.status == "lossless"]) - {"exact"})
    return times.text() + "".join(f", {text}" for text in checked)


def summary_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row per method, kind and bit depth.

    Times are medians over seeds, then over signals, censored fits included. PSNR and RMSE are
    pooled over fits (the form the paper's own columns satisfy), so a lossless fit never turns a
    mean into infinity.
    """
    rows = []
    keys = ["kind", "bits", "network", "representation", "variant", "recipe", "budget"]
    if "cell" in table:
        keys.append("cell")
    for values, group in table.groupby(keys, sort=False, dropna=False):
        reached = group.status == "lossless"
        measured = group[group.best_squared_error.notna()]
        times = times_to_lossless(group)
        samples = int(measured.samples.sum())
        squared = int(measured.best_squared_error.sum())
        bits = int(values[1])
        rows.append(
            {
                **dict(zip(keys, values, strict=True)),
                "label": group.label.iloc[0],
                "signals": group.signal.nunique(),
                "fits": len(group),
                "lossless": int(reached.sum()),
                "verified": int(group.verified.fillna(False).sum()),
                "diverged": int((group.status == "diverged").sum()),
                "failed": int((group.status == "failed").sum()),
                "iterations_median": times.median if times else None,
                "iterations_text": iterations_text(group),
                "flops_median": float(group.flops.astype("float64").median()),
                "seconds_median": float(group.seconds.median()),
                "psnr_pooled": psnr(squared, samples, bits) if samples else None,
                "ssim_mean": group.ssim.mean() if group.ssim.notna().any() else None,
                "rmse_pooled": rmse(squared, samples) if samples else None,
                "ber_mean": group.ber.mean(),
                "parameters_per_bit": group.parameters_per_bit.mean(),
            }
        )
    return pd.DataFrame(rows)
