"""Ternary networks: the smallest that is lossless, and how their products are best computed.

`sizes` fits one image at growing widths and budgets and notes what is verified lossless from the
packed file; `products` times a hidden layer's product in float32 (exact, see `networks._lowbit`),
in int64, and in three int8 slices of the activations, as ratios to float32 in one run.

    python benchmarks/ternary.py sizes      # resumes; writes benchmarks/results/ternary-sizes.csv
    python benchmarks/ternary.py products   # writes benchmarks/results/ternary-products.json
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import skimage.data
import torch

from lossless_inr.fitting.fit import Resources, run_fit
from lossless_inr.fitting.recipe import load_recipes
from lossless_inr.fitting.record import FitSpec
from lossless_inr.fitting.verify import verify
from lossless_inr.signals import Signal
from lossless_inr.signals.resample import centre_square, downsample

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks/results/ternary-sizes.csv"
PRODUCTS = ROOT / "benchmarks/results/ternary-products.json"
# (width, hidden layers, iterations)
SIZES = [
    (384, 3, 250), (384, 3, 500), (320, 3, 500), (320, 3, 1000), (288, 3, 1000), (256, 3, 1000),
    (256, 3, 2000), (240, 3, 2000), (240, 3, 4000), (224, 3, 4000), (224, 4, 2000), (208, 4, 4000),
]  # fmt: skip
RECIPE = "fast-ternary"
REPEATS = 30


def image() -> Signal:
    """Chelsea the cat, averaged down to 32x32 at 16 bits."""
    cat = centre_square(skimage.data.chelsea())
    samples = downsample(cat, 32, 32, from_bits=8, to_bits=16).astype("uint16")
    return Signal("skimage16/32x32/chelsea", samples, 16, "photo")


def sizes() -> None:
    """Fit what the table does not have yet."""
    signal = image()
    recipe = load_recipes(ROOT / "config/recipes")[RECIPE]
    known = pd.read_csv(TABLE) if TABLE.is_file() else pd.DataFrame()
    done = (
        {tuple(row) for row in known[["width", "hidden_layers", "budget"]].to_numpy()}
        if len(known)
        else set()
    )
    for width, hidden, budget in SIZES:
        if (width, hidden, budget) in done:
            continue
        method = {"network": "ternary", "representation": "bithead"}
        settings = recipe.resolve(**method, bits=16, width=width, iterations=budget)
        spec = FitSpec(
            signal=signal.name, kind="photo", shape=list(signal.samples.shape), bits=16, **method,
            width=width, hidden_layers=hidden, recipe=RECIPE, settings=settings,
            iterations=budget, seed=0,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            record = run_fit(spec, signal, Path(folder), Resources("cpu", threads=1))
            verdict = verify(record, signal, Path(folder))
        row = {
            "width": width, "hidden_layers": hidden, "budget": budget, "status": record.status,
            "verified": verdict.verified, "iterations": record.iterations,
            "wrong_bits": record.best.wrong_bits, "weight_bytes": record.weight_bytes,
            "of_raw": round(record.weight_bytes / (signal.samples.size * 2), 3),
            "seconds": round(record.timing.fit, 1),
        }  # fmt: skip
        begin = not TABLE.is_file()
        with open(TABLE, "a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if begin:
                writer.writeheader()
            writer.writerow(row)
        print(row, flush=True)


def products() -> None:
    """Time one product of 4,096 rows at 256 wide, and check that all three agree exactly."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-(2**16) + 1, 2**16, (4096, 256), generator=generator)
    w = torch.randint(-1, 2, (256, 256), generator=generator)
    x_float, w_float = x.float(), w.float()
    # 17 bits with the sign: two slices of 7 bits without one, and the rest with it.
    slices = [((x >> shift) & 127).to(torch.int8) for shift in (0, 7)]
    slices.append((x >> 14).to(torch.int8))
    w_int8 = w.to(torch.int8)

    def sliced():
        return sum(
            torch._int_mm(one, w_int8).long() << shift
            for one, shift in zip(slices, (0, 7, 14), strict=True)
        )

    ways = {
        "float32": lambda: x_float @ w_float,
        "int64": lambda: x @ w,
        "three int8 slices": sliced,
    }
    exact = x @ w
    result = {}
    for name, way in ways.items():
        assert torch.equal(way().long(), exact), name
        times = []
        for _ in range(REPEATS if name != "int64" else 3):
            begin = time.perf_counter()
            way()
            times.append(time.perf_counter() - begin)
        result[name] = statistics.median(times)
    ratios = {name: round(seconds / result["float32"], 2) for name, seconds in result.items()}
    PRODUCTS.write_text(json.dumps({"seconds over float32": ratios}, indent=1) + "\n")
    print(ratios)


if __name__ == "__main__":
    {"sizes": sizes, "products": products}[sys.argv[1]]()
