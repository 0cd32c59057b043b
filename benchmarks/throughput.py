"""Share of the matmul peak that one training pass reaches, by width and by kind of pass.

Only 6 x MAC x rows are counted as work. Peak and passes are measured in turns, best of each, in
one process: machines are shared and noisy, so a share means more than a rate.

    python benchmarks/throughput.py [--widths 64,128,256,512]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch

from lossless_inr import registry
from lossless_inr.engine.compiled import CompiledPass
from lossless_inr.engine.passes import AutogradPass, Batch, LayerwisePass
from lossless_inr.engine.settings import Settings
from lossless_inr.engine.slicing import chosen
from lossless_inr.engine.state import State
from lossless_inr.fitting import provenance
from lossless_inr.fitting.fit import exact_float32
from lossless_inr.networks._base import macs_per_row

ROOT = Path(__file__).resolve().parents[1]
# Rows of the bit head: a small image for narrow networks, a larger one for wide ones.
SIDES = {64: 32, 128: 64, 256: 64, 512: 64}


def seconds_of(action) -> float:
    """One timed call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(width: int, turns: int) -> list[dict]:
    """All passes for one width; the peak is measured between them."""
    side = SIDES[width]
    samples = np.random.default_rng(0).integers(0, 256, (side, side, 3))
    form = registry.load("representation", "bithead").Form(samples.shape, 8)
    passes = {}
    for kind in (AutogradPass, LayerwisePass, CompiledPass):
        torch.manual_seed(0)
        network = registry.load("network", "siren").build(
            axes=form.axes, outputs=form.outputs, width=width, hidden_layers=5
        )
        if kind is CompiledPass and not CompiledPass.fits(network, form, torch.device("cpu")):
            continue
        batch = Batch(form, [samples], torch.device("cpu"))
        state = State([network], Settings(focus=1.0))
        passes[kind.name] = kind([network], batch, state, form.rows)
        passes[kind.name].slice_rows = chosen(passes[kind.name], "float32")
        passes[kind.name].bind()
        passes[kind.name].run(training=True)
    flops = 6.0 * macs_per_row(network) * form.rows
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    rates = {name: [] for name in ["peak", *passes]}
    for _ in range(turns):
        rates["peak"].append(2 * 2048**3 / seconds_of(lambda: a @ b))
        for name, one in passes.items():
            rates[name].append(flops / seconds_of(lambda one=one: one.run(training=True)))
    peak = max(rates["peak"])
    return [
        {
            "width": width,
            "rows": form.rows,
            "pass": name,
            "slice_rows": one.slice_rows,
            "gflops": max(rates[name]) / 1e9,
            "peak_gflops": peak / 1e9,
            "peak_fraction": max(rates[name]) / peak,
            # The median of both: what a fit gets on a busy machine.
            "median_fraction": float(np.median(rates[name]) / np.median(rates["peak"])),
        }
        for name, one in passes.items()
    ]


def main() -> None:
    """Measure, print a table and write benchmarks/results/throughput-cpu.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", default="64,128,256,512")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    exact_float32()
    rows = []
    for width in map(int, arguments.widths.split(",")):
        rows += measure(width, arguments.turns)
        for row in rows[-3:]:
            print(
                f"{row['width']:4d} wide, {row['rows']} rows, {row['pass']:10s} "
                f"{row['gflops']:6.0f} GFLOP/s, {row['peak_fraction']:.2f} of the peak "
                f"(medians {row['median_fraction']:.2f}), slices of {row['slice_rows']}",
                flush=True,
            )
    facts = {
        "machine": provenance.machine(),
        "git": provenance.git_state(),
        "threads": arguments.threads,
        "ended": provenance.now(),
    }
    output = ROOT / "benchmarks/results/throughput-cpu.json"
    output.write_text(json.dumps(facts | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
