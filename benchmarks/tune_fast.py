"""The search behind config/recipes/fast.yaml: bit head, SIREN, tuning signals only.

Each setting is tried on every case, with the signals and seeds of a case fitted as one batch. No
signal here takes part in heldout.py, which judges the recipe. `base` is the recipe as committed;
other rows change what their name says.

    python benchmarks/tune_fast.py [--settings base,rate-x2] [--cases 32x32-8]
    # resumes; writes benchmarks/results/tune_fast.csv
"""

from __future__ import annotations

import argparse
import os
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lossless_inr import registry
from lossless_inr.datasets.catalog import Catalog
from lossless_inr.engine.loop import fit_many
from lossless_inr.engine.settings import Settings
from lossless_inr.fitting.fit import exact_float32
from lossless_inr.fitting.recipe import load_recipes
from lossless_inr.signals import readers
from lossless_inr.signals.resample import centre_square, downsample

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks/results/tune_fast.csv"


@dataclass(frozen=True)
class Case:
    """Signals x seeds of one size, depth and width; `wide` cases try fewer settings."""

    side: int
    bits: int
    width: int
    signals: tuple[str, ...]
    seeds: int
    wide: bool = False
    hidden_layers: int = 5


PHOTOS = ("astronaut", "motorcycle_right")
CASES = {
    "32x32-8-64": Case(32, 8, 64, PHOTOS, 5),
    "32x32-16-64": Case(32, 16, 64, PHOTOS, 5),
    "32x32-8-36-grey": Case(32, 8, 36, ("brick", "gravel", "cell"), 3),
    "64x64-8-128": Case(64, 8, 128, PHOTOS, 1),
    "64x64-16-128": Case(64, 16, 128, PHOTOS, 1),
    "64x64-8-512": Case(64, 8, 512, PHOTOS[:1], 1, wide=True),
    "64x64-16-512": Case(64, 16, 512, PHOTOS[:1], 1, wide=True),
}
# Factors on the committed recipe's numbers, or values that replace them.
FACTORS = {
    "base": {},
    "rate-x0.5": {"rate": 0.5},
    "rate-x0.7": {"rate": 0.7},
    "rate-x1.4": {"rate": 1.4},
    "rate-x2": {"rate": 2.0},
    "output-x0.25": {"output_factor": 0.25},
    "output-x0.5": {"output_factor": 0.5},
    "output-x2": {"output_factor": 2.0},
    "output-x0.5-rate-x1.4": {"output_factor": 0.5, "rate": 1.4},
    "output-x2-rate-x0.7": {"output_factor": 2.0, "rate": 0.7},
    "bias-x5": {"bias_factor": 5.0},
    "warmup-x0.5": {"warmup": 0.5},
    "warmup-x2": {"warmup": 2.0},
    "horizon-x0.7": {"horizon": 0.7},
    "horizon-x1.5": {"horizon": 1.5},
    "horizon-x2.5": {"horizon": 2.5},
}
VALUES = {
    "constant-rate": {"decay": "constant"},
    "floor-0.02": {"floor": 0.02},
    "floor-0.3": {"floor": 0.3},
    "focus-0": {"focus": 0.0},
    "focus-0.5": {"focus": 0.5},
    "focus-1.5": {"focus": 1.5},
    "beta2-0.9": {"beta2": 0.9},
    "beta2-0.99": {"beta2": 0.99},
    "beta2-0.999": {"beta2": 0.999},
    "output-init-network": {"output_init": "network"},
}
WIDE = ["base", *(f"rate-x{f}" for f in ("0.5", "0.7", "1.4", "2")), "output-x0.5", "focus-0.5"]
WIDE += ["horizon-x0.7", "horizon-x1.5"]


def changed(base: Settings, name: str) -> Settings:
    """The recipe's settings with one entry of the two tables above applied."""
    if name in VALUES:
        return base.model_copy(update=VALUES[name])
    values = {}
    for key, factor in FACTORS[name].items():
        value = getattr(base, key) * factor
        values[key] = max(1, round(value)) if key in ("warmup", "horizon") else value
    return base.model_copy(update=values)


def signals_of(case: Case) -> list[np.ndarray]:
    """The case's photographs, resized like any other, at its depth."""
    catalog, found = Catalog(ROOT / "config/datasets.tsv", ROOT), []
    for name in case.signals:
        entry, _ = catalog.find(f"skimage/{case.side}x{case.side}/{name}")
        samples, bits = readers.read(catalog.source_path(entry))
        found.append(
            downsample(
                centre_square(samples), case.side, case.side, from_bits=bits, to_bits=case.bits
            )
        )
    return found


def run(case: Case, settings: Settings, iterations: int) -> dict:
    """Fit all signals x seeds of a case as one batch."""
    signals = signals_of(case)
    form = registry.load("representation", "bithead").Form(signals[0].shape, case.bits)
    networks, samples = [], []
    for signal in signals:
        for seed in range(case.seeds):
            torch.manual_seed(seed)
            networks.append(
                registry.load("network", "siren").build(
                    axes=form.axes,
                    outputs=form.outputs,
                    width=case.width,
                    hidden_layers=case.hidden_layers,
                )
            )
            samples.append(signal)
    outcomes = fit_many(
        networks, form, samples, settings, iterations=iterations, device=torch.device("cpu")
    )
    # A fit that did not get there counts with its whole budget (censored).
    counts = [o.iterations if o.status == "lossless" else iterations for o in outcomes]
    seconds = [o.seconds for o in outcomes]
    return {
        "runs": len(outcomes),
        "lossless": sum(o.status == "lossless" for o in outcomes),
        "median_iterations": statistics.median(counts),
        "worst_iterations": max(counts),
        "median_seconds": round(statistics.median(seconds), 3),
        "worst_seconds": round(max(seconds), 3),
    }


def main() -> None:
    """Run what the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", default=",".join([*FACTORS, *VALUES]))
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    exact_float32()
    recipe = load_recipes(ROOT / "config/recipes")["fast"]
    rows = pd.read_csv(TABLE).to_dict("records") if TABLE.exists() else []
    for case_name in arguments.cases.split(","):
        case = CASES[case_name]
        base = recipe.resolve(
            network="siren",
            representation="bithead",
            bits=case.bits,
            width=case.width,
            iterations=400,
        )
        for name in arguments.settings.split(","):
            settings = changed(base, name)
            known = [
                row
                for row in rows
                if (row["case"], row["setting"]) == (case_name, name)
                and row["values"] == settings.model_dump_json()
            ]
            if known or (case.wide and name not in WIDE):
                continue
            rows = [r for r in rows if (r["case"], r["setting"]) != (case_name, name)]
            iterations = 150 if case.wide else 400
            rows.append(
                {"case": case_name, "setting": name}
                | run(case, settings, iterations)
                | {"budget": iterations, "values": settings.model_dump_json()}
            )
            print({k: v for k, v in rows[-1].items() if k != "values"}, flush=True)
            pd.DataFrame(rows).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
