"""What each change to the published loop is worth, in one run on one machine.

Rows, one change each:

a        the published loop (published_loop.py)
b        the same without checkpoints and log records
c-torch  this engine with the published recipe: slices of rows, gradients by hand, integer counts
c        the same, the pass compiled (CPU)
d        the paper's own coordinate form with better constant rates
e        the same rates on the bit head, which is another representation and not the paper's method
f        the `fast` recipe on the bit head: focus, warm-up, decay
f-torch  the same without the compiled pass
f-coord  the `fast` recipe on the paper's coordinate form
f-sparse the `fast-sparse` recipe on the bit head: the first updates see a part of the positions
g-bf16   row f with bfloat16 products in training (from 128 wide on, where the machine's bfloat16
         products are faster than its float32 ones), g-tf32 with TF32 (CUDA)

Seconds of (a) to (c) are the median seconds per iteration, taken in turns, times the iteration
count of a full run of their own: (b) and (c) run to their end once per case (the full run's own
seconds stand beside the product); (a) has the count of (b), whose arithmetic it shares. The other
rows are full runs, median of 5 (of 3 where one takes longer than 20 s). Fit time excludes import,
building, calibration, saving and verification. A fit counts only if its saved weights decode to
the signal under every setting of verify.py. Peak memory is the growth of a fresh process over its
start.

    make bench-engine            # the CPU cases, about half an hour on two cores
    FULL=1 make bench-engine     # and those that need a GPU
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from published_loop import fit_published, published_inputs
from pydantic import Field

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.errors import UserError
from lossless_inr.experiments.plan import plan_fit
from lossless_inr.experiments.spec import Shape
from lossless_inr.experiments.tables import exactness
from lossless_inr.fitting import provenance
from lossless_inr.fitting.fit import (
    Resources,
    build_form,
    build_network,
    exact_float32,
    peak_memory_mib,
    run_fit,
)
from lossless_inr.fitting.recipe import Recipe, load_recipes
from lossless_inr.fitting.verify import verify
from lossless_inr.networks._base import macs_per_row
from lossless_inr.schema import Strict, validate

ROOT = Path(__file__).resolve().parents[1]
RATES = Recipe(
    title="rates",
    applies_to=["bitplane", "bithead"],
    rate=5e-4,
    rate_times_width=0.12,
    output_factor=30.0,
)
# Steps of each of (a), (b), (c) that are timed, in turns of TURN.
STEPS, TURN = 20, 5
# Full runs of each other row: fewer where one takes minutes.
REPEATS, SLOW_REPEATS, SLOW = 5, 3, 20.0
LABELS = {
    "a": "published loop",
    "b": "published loop, nothing saved or logged",
    "c-torch": "this engine, published recipe, PyTorch only",
    "c": "this engine, published recipe",
    "d": "coordinate form, better constant rates",
    "e": "bit head, the same rates",
    "f": "bit head, fast recipe",
    "f-torch": "bit head, fast recipe, PyTorch only",
    "f-coord": "coordinate form, fast recipe",
    "f-sparse": "bit head, fast-sparse recipe",
    "g-bf16": "bit head, fast recipe, bfloat16 products",
    "g-tf32": "bit head, fast recipe, TF32 products",
}
# Row -> (representation, recipe, compiled pass allowed)
ENGINE_ROWS = {
    "c-torch": ("bitplane", "published", False),
    "c": ("bitplane", "published", True),
    "d": ("bitplane", "rates", True),
    "e": ("bithead", "rates", True),
    "f": ("bithead", "fast", True),
    "f-torch": ("bithead", "fast", False),
    "f-coord": ("bitplane", "fast", True),
    "f-sparse": ("bithead", "fast-sparse", True),
    "g-bf16": ("bithead", "fast-bf16", True),
    "g-tf32": ("bithead", "fast-tf32", True),
}


@dataclass(frozen=True)
class Case:
    """A signal and a network; `budget` bounds the published recipe."""

    signal: str
    width: int
    budget: int
    device: str = "cpu"

    @property
    def rows(self) -> list[str]:
        """Rows (d) to (g) that make sense for this case."""
        rows = ["d", "e", "f", "f-torch", "f-coord", "f-sparse"]
        if self.device == "cuda":
            return ["d", "e", "f", "f-coord", "f-sparse", "g-bf16", "g-tf32"]
        return rows + (["g-bf16"] if self.width >= 128 and bfloat16_pays() else [])


CASES = {
    "32x32-8": Case("skimage/32x32/coffee", 64, 4000),
    "32x32-16": Case("skimage16/32x32/chelsea", 64, 8000),
    "64x64-8": Case("skimage/64x64/coffee", 512, 600),
    "256x256-8": Case("skimage/256x256/coffee", 512, 3000, "cuda"),
    "256x256-16": Case("skimage16/256x256/chelsea", 512, 8000, "cuda"),
}


class Row(Strict):
    """One row of one case; `seconds` is the median, `spread` the smallest and largest."""

    case: str
    row: str
    label: str
    iterations: Annotated[int, Field(ge=0)]
    censored: bool
    seconds: Annotated[float, Field(gt=0)]
    spread: list[float]
    flops: Annotated[float, Field(gt=0)]
    peak_fraction: Annotated[float, Field(gt=0)]
    peak_mib: Annotated[float, Field(ge=0)]
    ratio_a: Annotated[float, Field(gt=0)]
    ratio_b: Annotated[float, Field(gt=0)]
    verified: bool | None
    exactness: str
    extrapolated: bool
    full_run_seconds: float | None
    evaluation_seconds: float | None
    saving_seconds: float | None
    verification_seconds: float | None
    engine: str


class Measured(Strict):
    """`benchmarks/results/engine-<device>.json`."""

    machine: dict[str, Any]
    git: dict[str, Any]
    threads: Annotated[int, Field(ge=1)]
    matmul_peak: dict[str, float]
    ended: str
    rows: list[Row]


def matmul_peak(device: str) -> float:
    """Measured FLOP/s of a float32 product, 2048 (CPU) or 8192 (CUDA) cubed: best of 7."""
    side = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    times = []
    for _ in range(7):
        synchronise(device)
        start = time.perf_counter()
        a @ b
        synchronise(device)
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times)


def bfloat16_pays() -> bool:
    """Whether this CPU multiplies bfloat16 matrices faster than float32 ones."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(512, 512).to(dtype) for _ in range(2))
        times = []
        for _ in range(5):
            start = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < seconds[torch.float32]


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


class Bench:
    """One case: its specifications and measurements, in this process."""

    def __init__(self, case: Case, threads: int):
        self.case, self.threads = case, threads
        self.catalog = Catalog(ROOT / "config/datasets.tsv", ROOT)
        self.recipes = load_recipes(ROOT / "config/recipes") | {"rates": RATES}
        self.signal = self.catalog.prepare(case.signal)

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

    def engine(self, row: str, iterations: int) -> dict:
        """Run, save and verify one full fit of the engine."""
        representation, recipe, compiled = ENGINE_ROWS[row]
        spec = self.spec(representation, recipe, iterations)
        with tempfile.TemporaryDirectory() as folder:
            record = run_fit(
                spec,
                self.signal,
                Path(folder),
                Resources(self.case.device, threads=self.threads, compiled=compiled),
            )
            start = time.perf_counter()
            verified = verify(record, self.signal, Path(folder)).verified
            verification = time.perf_counter() - start
        torch.set_num_threads(self.threads)
        return {
            "iterations": record.iterations,
            "censored": record.status != "lossless",
            "seconds": record.timing.fit,
            "flops": record.flops,
            "verified": verified,
            "exactness": exactness(record),
            "evaluation_seconds": record.timing.evaluation,
            "saving_seconds": record.timing.saving,
            "verification_seconds": verification,
            "engine": record.engine,
        }

    def plain(self, saving: bool, steps: int):
        """Run the plain published loop."""
        spec = self.spec("bitplane", "published", self.case.budget)
        form = build_form(spec)
        inputs = published_inputs(form, self.signal.samples, device=self.case.device)
        network = build_network(spec, form)
        return fit_published(network, *inputs, self.signal.bits, steps=steps, saving=saving)

    def turns(self) -> dict[str, list[float]]:
        """Seconds of single iterations of (a), (b), (c-torch) and (c), a few of each in turn."""
        seconds: dict[str, list[float]] = {"a": [], "b": [], "c-torch": [], "c": []}
        for row in ("c-torch", "c"):
            self.engine(row, 1)  # builds the library, measures the slices
        for _ in range(STEPS // TURN):
            seconds["a"] += self.plain(True, TURN).seconds[:TURN]
            seconds["b"] += self.plain(False, TURN).seconds[:TURN]
            for row in ("c-torch", "c"):
                # TURN updates, and one pass without gradients: a third of an iteration.
                seconds[row] += [self.engine(row, TURN)["seconds"] / (TURN + 1 / 3)] * TURN
        return seconds

    def flops_per_iteration(self) -> float:
        """Of one training pass of the paper's form."""
        spec = self.spec("bitplane", "published", 1)
        form = build_form(spec)
        return 6.0 * macs_per_row(build_network(spec, form)) * form.rows

    def measure(self, what: str) -> Any:
        """One measurement, by name; see `in_fresh_process`."""
        kind, _, row = what.partition(":")
        if kind == "turns":
            return {"turns": self.turns(), "flops": self.flops_per_iteration()}
        if kind == "peak":
            return matmul_peak(self.case.device)
        if kind == "plain":
            full = self.plain(False, self.case.budget)
            return {"iterations": full.first_zero, "seconds": sum(full.seconds)}
        if kind == "full":
            return self.engine(row, self.case.budget)
        if kind == "memory":
            device = torch.device(self.case.device)
            before = peak_memory_mib(device)
            if row in ("a", "b"):
                self.plain(row == "a", 1)
            else:
                self.engine(row, 1)
            return peak_memory_mib(device) - before
        runs = [self.engine(row, 3000)]
        repeats = SLOW_REPEATS if runs[0]["seconds"] > SLOW else REPEATS
        return runs + [self.engine(row, 3000) for _ in range(repeats - 1)]


def in_fresh_process(case: str, what: str, threads: int) -> Any:
    """Run `Bench.measure` in a process of its own: no memory and no caches of other rows."""
    print(f"  {case} {what} ...", end="", flush=True)
    start = time.perf_counter()
    command = [sys.executable, __file__, "--threads", str(threads), "--one", case, what]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(f" {time.perf_counter() - start:.0f} s", flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def rows_of(name: str, case: Case, threads: int) -> tuple[list[dict], float]:
    """All rows of one case, and the matmul peak."""

    def measure(what: str) -> Any:
        return in_fresh_process(name, what, threads)

    peaks = [measure("peak")]
    timed = measure("turns")
    plain = measure("plain")
    full = {"b": plain, "c": measure("full:c")}
    rows = []
    for row in ("a", "b", "c-torch", "c"):
        # (c-torch) is extrapolated with the count of (c): the same arithmetic up to rounding.
        run = full["c" if row.startswith("c") else "b"]
        count = run["iterations"] if run["iterations"] is not None else case.budget
        each = timed["turns"][row]
        censored = run.get("censored", run["iterations"] is None)
        own = row in full
        rows.append(
            {
                "row": row,
                "iterations": count,
                "censored": censored,
                "seconds": statistics.median(each) * count,
                "spread": [min(each) * count, max(each) * count],
                "flops": timed["flops"] * count,
                "verified": run.get("verified") if row == "c" else None,
                "exactness": "exact",
                "extrapolated": True,
                "full_run_seconds": run["seconds"] if own else None,
                "evaluation_seconds": run.get("evaluation_seconds") if own else None,
                "saving_seconds": run.get("saving_seconds") if own else None,
                "verification_seconds": run.get("verification_seconds") if own else None,
                "engine": run.get("engine", "") if row == "c" else "layerwise" * (row > "b"),
            }
        )
    for row in case.rows:
        runs = measure(f"runs:{row}")
        seconds = [run["seconds"] for run in runs]
        middle = runs[seconds.index(statistics.median_low(seconds))]
        rows.append(
            middle
            | {
                "row": row,
                "spread": [min(seconds), max(seconds)],
                "verified": all(run["verified"] for run in runs),
                "extrapolated": False,
                "full_run_seconds": None,
            }
        )
    peaks.append(measure("peak"))
    peak = max(peaks)
    seconds = {row["row"]: row["seconds"] for row in rows}
    for row in rows:
        row |= {
            "case": name,
            "label": LABELS[row["row"]],
            "peak_fraction": row["flops"] / row["seconds"] / peak,
            "peak_mib": max(0.0, measure(f"memory:{row['row']}")),
            "ratio_a": seconds["a"] / row["seconds"],
            "ratio_b": seconds["b"] / row["seconds"],
        }
    return rows, peak


def table(rows: list[Row]) -> str:
    """The ladder as text."""
    lines = [
        f"{'case':11s} {'row':8s} {'iterations':>10s} {'seconds':>9s} {'of peak':>8s} {'MiB':>7s} "
        f"{'x (a)':>8s} {'x (b)':>8s}  verified"
    ]
    for row in rows:
        mark = ">" if row.censored else " "
        lines.append(
            f"{row.case:11s} {row.row:8s} {mark}{row.iterations:9d} {row.seconds:9.2f} "
            f"{row.peak_fraction:8.2f} {row.peak_mib:7.0f} {row.ratio_a:8.1f} {row.ratio_b:8.1f}  "
            f"{'' if row.verified is None else row.verified}"
        )
    return "\n".join(lines)


def load(path: Path) -> Measured | None:
    """The results so far, checked against the schema; None if there are none."""
    if not path.exists():
        return None
    return validate(Measured, json.loads(path.read_text(encoding="utf-8")), str(path))


def main() -> None:
    """Run the cases and write benchmarks/results/engine-<device>.json."""
    gpu = torch.cuda.is_available()
    full = bool(os.environ.get("FULL"))
    default = [n for n, c in CASES.items() if c.device == "cpu" or (full and gpu)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(default), help="comma-separated")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "WHAT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    exact_float32()
    if arguments.one:
        case, what = arguments.one
        print(json.dumps(Bench(CASES[case], arguments.threads).measure(what)))
        return
    names = arguments.cases.split(",")
    if unknown := [name for name in names if name not in CASES]:
        raise UserError(f"--cases: unknown case {unknown[0]!r}; known: {', '.join(CASES)}")
    for name in names:
        case = CASES[name]
        if case.device == "cuda" and not gpu:
            raise UserError(f"--cases: {name} needs a CUDA device and torch sees none")
        path = arguments.output / f"engine-{case.device}.json"
        old = load(path)
        rows, peak = rows_of(name, case, arguments.threads)
        kept = [row.model_dump() for row in old.rows if row.case != name] if old else []
        order = list(CASES)
        measured = Measured(
            machine=provenance.machine(),
            git=provenance.git_state(),
            threads=arguments.threads,
            matmul_peak=(old.matmul_peak if old else {}) | {name: peak},
            ended=provenance.now(),
            rows=sorted(kept + rows, key=lambda row: order.index(row["case"])),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measured.model_dump(), indent=1) + "\n", encoding="utf-8")
        print(table([row for row in measured.rows if row.case == name]), flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: a measurement failed ({error})")
