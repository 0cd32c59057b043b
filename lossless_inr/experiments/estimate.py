"""What a scale costs before it is run: fits, FLOPs and hours per table. Estimates, not results.

Imports no torch.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from lossless_inr.analysis.printed import printed_cells
from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.reference import Entry, read
from lossless_inr.fitting.record import FitSpec

# float32 outside tensor cores, TFLOP/s, as their maker prints them (NVIDIA H200 data sheet;
# NVIDIA Ampere GA102 white paper): `published` means IEEE float32 products.
GPUS = {"H200": 67.0, "RTX 3090": 35.6}
WIDE = 512


def measured_fraction(folder: Path) -> tuple[float, str]:
    """Share of the matrix-product peak that the engine's PyTorch passes reach at 512 wide.

    Parameters
    ----------
    folder : Path
        `benchmarks/results`. `throughput-cuda.json` is preferred where it exists.

    Returns
    -------
    fraction : float
        Median over the PyTorch passes.
    basis : str
        Where it was measured.
    """
    for kind in ("cuda", "cpu"):
        path = Path(folder) / f"throughput-{kind}.json"
        if path.is_file():
            result = json.loads(path.read_text(encoding="utf-8"))
            rows = pd.DataFrame(result["rows"])
            wide = rows[(rows.width == WIDE) & (rows["pass"] != "compiled")]
            machine = result["machine"]["gpu"] if kind == "cuda" else result["machine"]["processor"]
            return float(wide.median_fraction.median()), f"{kind.upper()}, {machine}"
    return 0.5, "assumed: benchmarks/results has no throughput-*.json"


def printed_iterations(plan: Plan, name: str) -> dict[str, float]:
    """Digest of a fit -> iterations to lossless that the paper prints for its row."""
    experiment, cells = plan.experiments[name], plan.cells.get(name, {})
    printed = printed_cells()
    printed = printed[(printed.table == experiment.published) & (printed.metric == "iterations")]
    found = {}
    for fit in plan.fits[name]:
        beside = experiment.printed_set(fit.signal, fit.kind, fit.bits, plan.scale)
        row = printed[(printed.set == beside) & (printed.row == cells.get(fit.digest))]
        if len(row) == 1:
            found[fit.digest] = float(row.value.iloc[0])
    return found


def estimate(plan: Plan, benchmarks: Path = Path("benchmarks/results")) -> pd.DataFrame:
    """Fits, PFLOP and GPU hours of each experiment, and of all together.

    `at most` lets every fit run to its budget; `as printed` ends those that the paper prints
    iterations for where the paper does. A fit that several experiments show is counted in each
    of them, and once in the last row. GPU hours are printed peak times our measured fraction.

    Returns
    -------
    DataFrame
        Columns `experiment`, `fits`, `PFLOP at most`, `PFLOP as printed`, and hours of each GPU
        for both.
    """
    fraction, _ = measured_fraction(benchmarks)
    rows, printed = [], {}
    for name, fits in plan.fits.items():
        ends = printed_iterations(plan, name)
        printed |= ends
        rows.append(_row(name, fits, ends, fraction))
    rows.append(_row("all, each fit once", plan.all_fits, printed, fraction))
    return pd.DataFrame(rows)


def _row(name: str, fits: list[FitSpec], ends: dict[str, float], fraction: float) -> dict:
    most = sum(fit.cost for fit in fits)
    likely = sum(
        fit.cost * min(1.0, ends.get(fit.digest, fit.iterations) / max(1, fit.iterations))
        for fit in fits
    )
    row = {"experiment": name, "fits": len(fits)}
    row |= {"PFLOP at most": most / 1e15, "as printed": likely / 1e15}
    for gpu, peak in GPUS.items():
        speed = peak * 1e12 * fraction * 3600
        row |= {f"{gpu} h at most": most / speed, f"{gpu} h as printed": likely / speed}
    return row


def seconds_per_flop(entries: list[Entry]) -> dict[tuple[str, str], float]:
    """Median seconds for one (rough) FLOP of each network and representation, on one thread."""
    rows = []
    for entry in entries:
        record, spec = entry.record, entry.record.spec
        done = spec.cost * (record.iterations + 1) / (spec.iterations + 1)
        if record.timing and record.iterations > 0:
            rows.append((spec.network, spec.representation, record.timing.fit / done))
    table = pd.DataFrame(rows, columns=["network", "representation", "rate"])
    return table.groupby(["network", "representation"]).rate.median().to_dict()


def local_hours(fits: list[FitSpec], cores: int, reference: Path) -> float | None:
    """Hours that fits take here at most, by the speed of the committed CPU records.

    Parameters
    ----------
    fits : list of FitSpec
    cores : int
        Fits side by side.
    reference : Path
        A `records.jsonl` of `results/reference/`.

    Returns
    -------
    float or None
        None if no fit on a CPU is recorded there.
    """
    rates = seconds_per_flop([e for e in read(reference) if e.key[1] == "cpu"])
    if not rates:
        return None
    usual = pd.Series(rates).median()
    seconds = sum(fit.cost * rates.get((fit.network, fit.representation), usual) for fit in fits)
    return seconds / 3600 / max(1, cores)


def as_text(plan: Plan, benchmarks: Path = Path("benchmarks/results")) -> str:
    """The estimate as a table for a terminal."""
    table = estimate(plan, benchmarks)
    large = plan.scale == "paper"
    if not large:  # hours of a GPU would say nothing
        table = table[["experiment", "fits", "PFLOP at most", "as printed"]]
    numbers = table.to_string(index=False, float_format=lambda value: f"{value:,.3g}")
    text = (
        f"Scale {plan.scale}: {len(plan.all_fits)} fits in {len(plan.shards())} shards.\n{numbers}"
    )
    fraction, basis = measured_fraction(benchmarks)
    peaks = ", ".join(f"{gpu} {peak:g}" for gpu, peak in GPUS.items())
    note = (
        f"An estimate: printed float32 peaks (TFLOP/s: {peaks}) times {fraction:.2f}, the fraction "
        f"that we measured at {WIDE} wide ({basis}).\n"
        "at most: every fit runs to its budget; as printed: those that the paper prints iterations "
        "for end there. Table look-ups of Instant-NGP and DINER are not counted."
    )
    return f"{text}\n{note}" if large else text
