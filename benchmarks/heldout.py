"""Do the fast recipes fail? Held-out signals x 25 seeds, bit head, no tuning per signal.

The recipes were tuned on Kodak photographs and scikit-image's astronaut; no signal below took part.
Fits run two at a time with one thread each, then a fresh process decodes every saved weight file
under all settings of `fitting.verify`. With no failure in N fits, the share of failures is below
1 - 0.05**(1/N) at 95 % confidence, for fits drawn as these were.

    python benchmarks/heldout.py    # resumes; writes benchmarks/results/heldout.csv
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.experiments.plan import plan_fit
from lossless_inr.experiments.spec import Shape
from lossless_inr.fitting.recipe import load_recipes
from lossless_inr.fitting.record import FitSpec, Record

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ["fast", "fast-sparse"]
TABLE = ROOT / "benchmarks/results/heldout.csv"
FOLDER = ROOT / "results/heldout"
SEEDS = 25
# Several times what any fit needs (about 50 at 8 bits, 90 at 16): a failure is a failure.
ITERATIONS = 1000
SIGNALS = [
    *(f"skimage/32x32/{name}" for name in ("coffee", "chelsea", "motorcycle_left", "ihc")),
    *(f"skimage/32x32/{name}" for name in ("camera", "coins", "moon", "grass", "page")),
    *(f"skimage16/32x32/{name}" for name in ("chelsea", "motorcycle_left", "ihc")),
    *(f"pydicom/32x32/{name}" for name in ("ct", "ct_edge", "mr", "mr_edge")),
    *("chime/3072/warning", "chime/3072/warning_late", "chime/1536/error"),
]


def plans() -> list[FitSpec]:
    """All fits of the study."""
    catalog = Catalog(ROOT / "config/datasets.tsv", ROOT)
    recipes = load_recipes(ROOT / "config/recipes")
    return [
        plan_fit(
            catalog,
            recipes[recipe],
            signal=signal,
            network="siren",
            representation="bithead",
            recipe_name=recipe,
            shape=Shape(),
            iterations=ITERATIONS,
            seed=seed,
        )
        for recipe in RECIPES
        for signal in SIGNALS
        for seed in range(SEEDS)
    ]


def fit_one(spec: FitSpec) -> str:
    """Fit one specification unless its record is there."""
    from lossless_inr.fitting.fit import Resources, run_or_record_failure

    signal = Catalog(ROOT / "config/datasets.tsv", ROOT).prepare(spec.signal)
    record = Record.load_if_current(FOLDER / spec.folder, spec, signal.sha256)
    if record is None:
        record = run_or_record_failure(
            spec, signal, FOLDER / spec.folder, Resources("cpu", threads=1, exclusive=False)
        )
    return (
        f"{spec.recipe}: {spec.signal} seed {spec.seed}: {record.status} after {record.iterations}"
    )


def verify_all() -> None:
    """Decode every fit (this runs in a process of its own) and write the table."""
    from lossless_inr.fitting.verify import verify

    catalog, rows, signals = Catalog(ROOT / "config/datasets.tsv", ROOT), [], {}
    for spec in plans():
        if spec.signal not in signals:
            signals[spec.signal] = catalog.prepare(spec.signal)
        record = Record.load(FOLDER / spec.folder / "record.json")
        verdict = verify(record, signals[spec.signal], FOLDER / spec.folder)
        rows.append(
            {
                "recipe": spec.recipe,
                "signal": spec.signal,
                "kind": spec.kind,
                "bits": spec.bits,
                "seed": spec.seed,
                "width": spec.width,
                "parameters_per_bit": record.parameters / (math.prod(spec.shape) * spec.bits),
                "status": record.status,
                "verified": verdict.verified,
                "iterations": record.iterations,
                "seconds": round(record.timing.fit, 3) if record.timing else None,
                "margin": verdict.margin,
            }
        )
    pd.DataFrame(rows).to_csv(TABLE, index=False)


def main() -> None:
    """Fit, verify, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verify", action="store_true", help="only verify and write the table")
    if parser.parse_args().verify:
        verify_all()
        return
    specs = plans()
    with ProcessPoolExecutor(2) as pool:
        for number, line in enumerate(pool.map(fit_one, specs), start=1):
            print(f"[{number}/{len(specs)}] {line}", flush=True)
    subprocess.run([sys.executable, __file__, "--verify"], check=True)
    table = pd.read_csv(TABLE)
    summary = table.groupby(["recipe", "signal", "bits"], sort=False).agg(
        fits=("seed", "count"),
        verified=("verified", "sum"),
        iterations_median=("iterations", "median"),
        iterations_max=("iterations", "max"),
        seconds_median=("seconds", "median"),
        seconds_max=("seconds", "max"),
    )
    print(summary.to_string())
    for recipe, part in table.groupby("recipe"):
        print(f"{recipe}: {int(part.verified.sum())} of {len(part)} verified lossless")


if __name__ == "__main__":
    main()
