"""The search behind `config/recipes/tuned.yaml`: rates for the direct baselines.

Grid: every network x 5 rates x {constant, cosine to 0.01}, 2,000 iterations, seed 0, on two
signals that the quick scale shows no direct baseline on (one of 8 bits, one of 16). Where the
best rate is at an end of the grid, the grid grows by a factor of 3 until it is not. Chosen per
network: most lossless fits, then the smallest geometric mean of the best RMSE (lossless counts
as 0.01 grey levels, less than one wrong least significant bit in 10,000 samples).

    python benchmarks/tune_direct.py             # resumes; writes benchmarks/results/
    python benchmarks/tune_direct.py --choose    # prints the recipe's `networks` from the table
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from lossless_inr import registry
from lossless_inr.datasets.catalog import Catalog
from lossless_inr.experiments.plan import own_shape, plan_fit
from lossless_inr.experiments.spec import Shape
from lossless_inr.fitting.recipe import Recipe
from lossless_inr.signals import Signal

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks/results/tune_direct.csv"
SIGNALS = ("skimage/32x32/chelsea", "skimage16/32x32/motorcycle_left")
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
LADDER = [1e-6, 3e-6, 1e-5, 3e-5, *RATES, 3e-2, 1e-1, 3e-1]
STEP_UP = dict(itertools.pairwise(LADDER))
STEP_DOWN = {high: low for low, high in STEP_UP.items()}
DECAYS = {"constant": 1.0, "cosine": 0.01}
ITERATIONS = 2000
KEYS = ["network", "rate", "decay", "signal"]


def search() -> None:
    """Fit what the table lacks, one row at a time; then grow the grid where its end is best."""
    import torch

    from lossless_inr.fitting.fit import exact_float32

    torch.set_num_threads(1)
    exact_float32()
    catalog = Catalog(ROOT / "config/datasets.tsv", ROOT)
    signals = [catalog.prepare(name) for name in SIGNALS]
    rows = pd.read_csv(TABLE).to_dict("records") if TABLE.exists() else []
    pending = [(network, rate) for network in registry.every("network") for rate in RATES]
    while pending:
        for network, rate in pending:
            for decay in DECAYS:
                for signal in signals:
                    key = (network, rate, decay, signal.name)
                    if key in {tuple(row[k] for k in KEYS) for row in rows}:
                        continue
                    rows.append(
                        dict(zip(KEYS, key, strict=True)) | measure(catalog, signal, *key[:3])
                    )
                    print(rows[-1], flush=True)
                    TABLE.parent.mkdir(parents=True, exist_ok=True)
                    pd.DataFrame(rows).to_csv(TABLE, index=False)
        table = pd.DataFrame(rows)
        pending = []
        for network, setting in choose(table).items():
            tried = table[table.network == network].rate
            if setting["rate"] == tried.max():
                pending.append((network, STEP_UP[setting["rate"]]))
            elif setting["rate"] == tried.min():
                pending.append((network, STEP_DOWN[setting["rate"]]))


def measure(catalog: Catalog, signal: Signal, network: str, rate: float, decay: str) -> dict:
    """Fit one setting to one signal."""
    import torch

    from lossless_inr.engine.loop import fit
    from lossless_inr.fitting.fit import build_form, build_network

    recipe = Recipe(
        title="search", applies_to=["direct"], rate=rate, decay=decay, floor=DECAYS[decay]
    )
    spec = plan_fit(
        catalog,
        recipe,
        signal=signal.name,
        network=network,
        representation="direct",
        recipe_name="search",
        shape=own_shape(network) or Shape(),
        iterations=ITERATIONS,
        seed=0,
    )
    form = build_form(spec)
    outcome = fit(
        build_network(spec, form),
        form,
        signal.samples,
        spec.settings,
        iterations=ITERATIONS,
        device=torch.device("cpu"),
    )
    size, bits = signal.samples.size, signal.bits
    wrong = [sum(planes) for planes in outcome.curve.wrong_bits]
    return {
        "status": outcome.status,
        "iterations": outcome.iterations,
        "best_rmse": float(np.sqrt(min(outcome.curve.squared_error) / size)),
        "best_ber": min(wrong) / (size * bits),
        "flops": outcome.flops,
    }


def choose(table: pd.DataFrame) -> dict[str, dict]:
    """Best setting per network: {network: {rate, decay, floor}}."""
    table = table.assign(
        lossless=table.status == "lossless", log_rmse=np.log(table.best_rmse.clip(lower=0.01))
    )
    score = table.groupby(["network", "rate", "decay"], as_index=False).agg(
        lossless=("lossless", "sum"), log_rmse=("log_rmse", "mean"), fits=("signal", "count")
    )
    score = score[score.fits == len(SIGNALS)]
    best = score.sort_values(["lossless", "log_rmse"], ascending=[False, True])
    best = best.groupby("network", sort=True).first()
    return {
        network: {"rate": row.rate, "decay": row.decay, "floor": DECAYS[row.decay]}
        for network, row in best.iterrows()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choose", action="store_true", help="only print the choice")
    if not parser.parse_args().choose:
        search()
    for network, setting in choose(pd.read_csv(TABLE)).items():
        print(f"  {network}: {setting}")
