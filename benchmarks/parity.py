"""First zeros of the engine's `published` recipe beside the plain loop's, over seeds, in float32.

Both start from the same weights. In float64 they agree step by step (tests/parity); in float32
every rounding differs, and the last wrong bits decide when a fit ends, so counts of single fits
scatter. This shows by how much, and whether one side is ahead.

    python benchmarks/parity.py    # writes benchmarks/results/parity.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch
from published_loop import fit_published, published_inputs

from lossless_inr import registry
from lossless_inr.datasets.catalog import Catalog
from lossless_inr.engine.loop import fit
from lossless_inr.engine.settings import Settings
from lossless_inr.fitting.fit import exact_float32

ROOT = Path(__file__).resolve().parents[1]
BUDGET = 4000


def main() -> None:
    """Run both on every seed and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--signal", default="skimage/32x32/coffee")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    exact_float32()
    signal = Catalog(ROOT / "config/datasets.tsv", ROOT).prepare(arguments.signal)
    form = registry.load("representation", "bitplane").Form(signal.samples.shape, signal.bits)
    rows = []
    for seed in range(arguments.seeds):

        def network(seed=seed):
            torch.manual_seed(seed)
            return registry.load("network", "siren").build(
                axes=form.axes, outputs=form.outputs, width=arguments.width, hidden_layers=5
            )

        plain = fit_published(
            network(),
            *published_inputs(form, signal.samples),
            signal.bits,
            steps=BUDGET,
            saving=False,
        )
        row = {"signal": signal.name, "seed": seed, "plain_loop": plain.first_zero}
        for name, compiled in (("compiled", True), ("layerwise", False)):
            outcome = fit(
                network(),
                form,
                signal.samples,
                Settings(),
                iterations=BUDGET,
                device=torch.device("cpu"),
                compiled=compiled,
            )
            row[name] = outcome.iterations if outcome.status == "lossless" else None
        rows.append(row)
        print(row, flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / "benchmarks/results/parity.csv", index=False)
    for name in ("compiled", "layerwise"):
        ratio = table[name] / table.plain_loop
        low, middle, high = ratio.min(), ratio.median(), ratio.max()
        print(f"{name} / plain loop: median {middle:.3f}, {low:.3f} to {high:.3f}")


if __name__ == "__main__":
    main()
