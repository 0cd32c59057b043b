"""What each change to the published loop is worth, in one run on one machine.

Rows, one change each: (a) the published loop; (b) the same without checkpoints and log records;
(c) this engine with the published recipe (slices of rows, counts in integers); (d) the paper's own
coordinate form with better constant rates; (e) the same rates on the bit head, which is another
representation and not the paper's method; (f) the `fast` recipe on the bit head: focus, warm-up,
decay; (f-coord) the `fast` recipe on the paper's coordinate form.

Seconds of (a) to (c) are the median seconds per iteration of 20 iterations, taken in turns, times
the iteration count of a full run of (c); the first case also runs (b) to its end as a check. Rows
(d) to (f) are full runs, median of 3. Fit time excludes import, building, saving and verification.
A fit counts only if its saved weights decode to the signal under every setting of verify.py.

    python benchmarks/bench_engine.py [--cases 32x32-8,32x32-16,64x64-8]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from published_loop import fit_published, published_inputs

from lossless_inr.experiments.plan import plan_fit
from lossless_inr.experiments.spec import Shape
from lossless_inr.fitting import provenance
from lossless_inr.fitting.fit import Resources, build_form, build_network, exact_float32, run_fit
from lossless_inr.fitting.recipe import Recipe, load_recipes
from lossless_inr.fitting.verify import verify
from lossless_inr.networks._base import macs_per_row
from lossless_inr.signals.catalog import Catalog

ROOT = Path(__file__).resolve().parents[1]
RATES = Recipe(
    title="rates",
    applies_to=["bitplane", "bithead"],
    rate=5e-4,
    rate_times_width=0.12,
    output_factor=30.0,
)
TURNS = 20


@dataclass(frozen=True)
class Case:
    """A signal and a network; `budget` bounds the published recipe."""

    signal: str
    width: int
    budget: int
    full_check: bool = False


CASES = {
    "32x32-8": Case("skimage/32x32/coffee", 64, 4000, full_check=True),
    "32x32-16": Case("skimage16/32x32/chelsea", 64, 8000),
    "64x64-8": Case("skimage/64x64/coffee", 512, 600),
}


def matmul_peak() -> float:
    """Measured float32 FLOP/s of a 2048-cubed product: best of 5."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times)


class Bench:
    """One case: its specifications and rows."""

    def __init__(self, name: str, case: Case, threads: int):
        self.name, self.case, self.threads = name, case, threads
        self.catalog = Catalog(ROOT / "config/datasets.tsv", ROOT)
        self.recipes = load_recipes(ROOT / "config/recipes") | {"rates": RATES}
        self.signal = self.catalog.prepare(case.signal)
        self.peak = matmul_peak()
        self.rows: list[dict] = []

    def spec(self, representation: str, recipe: str, iterations: int):
        """Specification of one fit of this case."""
        return plan_fit(
            self.catalog,
            self.recipes[recipe],
            signal=self.case.signal,
            network="siren",
            representation=representation,
            recipe_name=recipe,
            shape=Shape(width=self.case.width),
            iterations=iterations,
            seed=0,
        )

    def engine(self, representation: str, recipe: str, iterations: int):
        """Run and verify one full fit; its record and whether it counts."""
        spec = self.spec(representation, recipe, iterations)
        with tempfile.TemporaryDirectory() as folder:
            record = run_fit(
                spec, self.signal, Path(folder), Resources("cpu", threads=self.threads)
            )
            verified = verify(record, self.signal, Path(folder)).verified
        torch.set_num_threads(self.threads)
        return record, verified

    def add(self, row: str, iterations, seconds: float, flops: float, **facts) -> None:
        """Append one row and print it."""
        self.rows.append(
            {
                "case": self.name,
                "row": row,
                "iterations": iterations,
                "seconds": seconds,
                "flops": flops,
                "peak_fraction": flops / seconds / self.peak,
                **facts,
            }
        )
        print(json.dumps(self.rows[-1]), flush=True)

    def published(self) -> None:
        """Rows (a), (b), (c)."""
        record, verified = self.engine("bitplane", "published", self.case.budget)
        count = record.iterations
        spec = self.spec("bitplane", "published", self.case.budget)
        form = build_form(spec)
        network = build_network(spec, form)
        inputs = published_inputs(form, self.signal.samples)
        per_step: dict[str, list[float]] = {"a": [], "b": [], "c": []}
        for _ in range(TURNS // 5):
            for row, saving in (("a", True), ("b", False)):
                steps = fit_published(network, *inputs, self.signal.bits, steps=5, saving=saving)
                per_step[row] += steps.seconds[:5]
            short, _ = self.engine("bitplane", "published", 5)
            per_step["c"].append(short.timing.fit / 5.33)  # 5 updates and a pass without gradients
        flops = 6.0 * macs_per_row(network) * form.rows * count
        censored = record.status != "lossless"
        for row in "abc":
            seconds = statistics.median(per_step[row]) * count
            facts = {"verified": verified, "censored": censored, "peak_mib": None}
            self.add(row, count, seconds, flops, extrapolated=True, **facts)
        self.rows[-1]["peak_mib"] = record.peak_memory_mib
        self.rows[-1] |= {"seconds_of_the_full_run": record.timing.fit}
        if self.case.full_check:
            full = fit_published(
                network, *inputs, self.signal.bits, steps=self.case.budget, saving=False
            )
            self.rows[1] |= {
                "iterations_of_the_full_run": full.first_zero,
                "seconds_of_the_full_run": sum(full.seconds),
            }

    def ours(self) -> None:
        """Rows (d), (e), (f), (f-coord)."""
        for row, representation, recipe in (
            ("d", "bitplane", "rates"),
            ("e", "bithead", "rates"),
            ("f", "bithead", "fast"),
            ("f-coord", "bitplane", "fast"),
        ):
            runs = [self.engine(representation, recipe, 2000) for _ in range(3)]
            record = runs[0][0]
            self.add(
                row,
                record.iterations,
                statistics.median(run.timing.fit for run, _ in runs),
                record.flops,
                verified=all(verified for _, verified in runs),
                censored=record.status != "lossless",
                peak_mib=record.peak_memory_mib,
                extrapolated=False,
            )

    def ratios(self) -> None:
        """Seconds of (a) and (b) over each row's."""
        seconds = {row["row"]: row["seconds"] for row in self.rows}
        for row in self.rows:
            row["ratio_a"] = seconds["a"] / row["seconds"]
            row["ratio_b"] = seconds["b"] / row["seconds"]


def main() -> None:
    """Run the cases and write benchmarks/results/engine-cpu.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES), help="comma-separated")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    exact_float32()
    output = ROOT / "benchmarks/results/engine-cpu.json"
    old = json.loads(output.read_text())["rows"] if output.exists() else []
    for name in arguments.cases.split(","):
        bench = Bench(name, CASES[name], arguments.threads)
        bench.ours()
        ours = bench.rows
        bench.rows = []
        bench.published()
        bench.rows += ours
        bench.ratios()
        old = [row for row in old if row["case"] != name] + bench.rows
        facts = {
            "machine": provenance.machine(),
            "git": provenance.git_state(),
            "threads": arguments.threads,
            "ended": provenance.now(),
        }
        output.write_text(json.dumps(facts | {"rows": old}, indent=1) + "\n")
    print(f"\n{'case':10s} {'row':8s} {'iterations':>10s} {'seconds':>9s} {'of peak':>8s} "
          f"{'x (a)':>8s} {'x (b)':>8s}  verified")  # fmt: skip
    for row in old:
        mark = ">" if row["censored"] else " "
        ratio = [f"{row[k]:8.1f}" if math.isfinite(row[k]) else "" for k in ("ratio_a", "ratio_b")]
        print(
            f"{row['case']:10s} {row['row']:8s} {mark}{row['iterations']:9d} {row['seconds']:9.2f} "
            f"{row['peak_fraction']:8.2f} {' '.join(ratio)}  {row['verified']}"
        )


if __name__ == "__main__":
    main()
