"""Measure the gate's cases with the engine and the fitting code that the rules use."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from lossless_inr import metrics, registry
from lossless_inr.engine.loop import Loop, Outcome
from lossless_inr.fitting.fit import (
    Resources,
    build_form,
    build_network,
    exact_float32,
    run_fit,
    save_weights,
    use_threads,
)
from lossless_inr.fitting.forms import regresses_values
from lossless_inr.fitting.record import Record
from lossless_inr.fitting.verify import verify
from lossless_inr.networks._base import count_parameters, macs_per_row
from lossless_inr.regress.cases import SIGNALS, TRACE_WIDTH, TRACED, Cases, Fit, Trace
from lossless_inr.signals import Signal

# Of float64 traces, relative. float32 ones get theirs from the study.
TRACE_TOLERANCE = 1e-9
COMPILED_TOLERANCE = 1e-3
ON_CPU = Resources(device="cpu")


def _plain(value):
    """JSON's view of a value, so that it compares equal to one that was read."""
    return json.loads(json.dumps(value))


def _digest(array: np.ndarray) -> str:
    array = np.ascontiguousarray(array)
    return hashlib.sha256(f"{array.dtype}{array.shape}".encode() + array.tobytes()).hexdigest()


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """What networks draw their weights in."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def trace(case: Trace, signal: Signal) -> dict:
    """The losses of the first updates and every count that does not hang on rounding.

    Two slices of unequal size, so that sums over slices are seen.
    """
    exact_float32()
    form = build_form(case.spec)
    # Weights drawn in float32 differ in their last bit between kinds of CPU.
    with _default_dtype(torch.float32 if case.compiled else torch.float64):
        network = build_network(case.spec, form)
    outcomes: list[Outcome] = []
    loop = Loop(
        [network],
        form,
        [signal.samples],
        case.spec.settings,
        iterations=case.spec.iterations,
        device=torch.device("cpu"),
        slice_rows=form.rows * 5 // 8,
        compiled=case.compiled,
        finished=lambda number, outcome: outcomes.append(outcome),
    )
    if not case.compiled:
        loop.batch.coordinates = loop.batch.coordinates.double()
    loop.run()
    (outcome,) = outcomes
    exact = {
        "settings": case.spec.settings.model_dump(),
        "status": outcome.status,
        "iterations": outcome.iterations,
        "updates": len(outcome.curve.loss) - 1,
        "flops": outcome.flops,
        "rows_seen": outcome.rows_seen,
        "parameters": count_parameters(network),
    }
    if not case.compiled:
        exact["wrong_bits"] = [sum(planes) for planes in outcome.curve.wrong_bits]
        exact["squared_error"] = outcome.curve.squared_error
        exact["best_iteration"] = outcome.best_iteration
    return _plain(
        {
            "exact": exact,
            "close": {"loss": outcome.curve.loss},
            "tolerance": COMPILED_TOLERANCE if case.compiled else TRACE_TOLERANCE,
            "info": {"engine": outcome.engine},
        }
    )


def facts(cases: Cases) -> dict[str, dict]:
    """Rows that have one right answer: signals, targets, sizes, metrics, precision."""
    rows = {}
    for name, signal in cases.signals.items():
        rows[f"signal {name}"] = {
            "exact": {
                "sha256": signal.sha256,
                "shape": list(signal.samples.shape),
                "bits": signal.bits,
            }
        }
        rows[f"metrics {name}"] = _metrics(signal)
    for representation in registry.names("representation"):
        for name in (TRACED, *SIGNALS[1:]):
            rows[f"targets {representation} {name}"] = _targets(cases, representation, name)
        for network in registry.names("network"):
            spec = cases.spec(
                network,
                representation,
                "published",
                signal=TRACED,
                width=TRACE_WIDTH,
                iterations=1,
            )
            form = build_form(spec)
            built = build_network(spec, form)
            rows[f"size {network} {representation}"] = {
                "exact": {
                    "parameters": count_parameters(built),
                    "macs_per_row": macs_per_row(built),
                    "rows": form.rows,
                    "flops_per_step": 6 * macs_per_row(built) * form.rows,
                    "seeds": _seeds_differ(spec, form),
                }
            }
    exact_float32()
    rows["precision"] = {
        "exact": {
            "float32 products": torch.get_float32_matmul_precision(),
            "cuda products": torch.backends.cuda.matmul.allow_tf32,
            "cudnn": torch.backends.cudnn.allow_tf32,
            "recipes": {name: recipe.precision for name, recipe in cases.recipes.items()},
        }
    }
    return _plain(rows)


def _seeds_differ(spec, form) -> bool:
    """Whether another repeat and another signal each start from other weights."""
    first = next(build_network(spec, form).parameters())
    others = [
        next(build_network(spec.model_copy(update=change), form).parameters())
        for change in ({"seed": 1}, {"signal": "other"})
    ]
    return not any(torch.equal(first, other) for other in others)


def _targets(cases: Cases, representation: str, name: str) -> dict:
    signal = cases.signals[name]
    spec = cases.spec(
        "siren", representation, "published", signal=name, width=TRACE_WIDTH, iterations=1
    )
    form = build_form(spec)
    samples = torch.from_numpy(signal.samples.astype(np.int64).reshape(-1, form.channels))
    targets = form.targets(samples)
    # What a perfect network would return.
    perfect = targets.double() * 2 - 1 if targets.dtype == torch.uint8 else targets
    coordinates = form.coordinates()
    return {
        "exact": {
            "sha256": _digest(targets.numpy()),
            "inverse": bool(torch.equal(form.decode(perfect), samples)),
            "precisions": list(form.precisions),
            "rows": form.rows,
        },
        # Sums, not digests: the last bit of a float32 grid is the machine's own.
        "close": {
            "coordinates": [
                *(coordinates.amax(0) - coordinates.amin(0)).tolist(),
                *coordinates.double().mean(0).tolist(),
                *coordinates.double().square().mean(0).tolist(),
            ]
        },
        "tolerance": 1e-5,
    }


def _metrics(signal: Signal) -> dict:
    """Metrics of a fixed pattern of errors in a fixed signal."""
    truth = signal.samples.astype(np.int64)
    flips = np.random.Generator(np.random.PCG64(1)).integers(0, 2**signal.bits, truth.shape)
    often = np.random.Generator(np.random.PCG64(2)).random(truth.shape) < 0.1
    decoded = np.where(often, truth ^ flips, truth)
    decoded.flat[0] = truth.flat[0] ^ 1  # the smallest error there is
    planes = [int(x) for x in metrics.wrong_bits_per_plane(decoded, truth, signal.bits)]
    tensors = (torch.from_numpy(x) for x in (decoded, truth))
    squared = int(metrics.count_errors(decoded, truth))
    close = {
        "ber": [metrics.bit_error_rate(sum(planes), truth.size, signal.bits)],
        "rmse": [metrics.rmse(squared, truth.size)],
        "psnr": [metrics.psnr(squared, truth.size, signal.bits)],
    }
    if (similarity := metrics.ssim(decoded, truth, signal.bits)) is not None:
        close["ssim"] = [similarity]
    return {
        "exact": {
            "planes": planes,
            "planes of tensors": [
                int(x) for x in metrics.wrong_bits_per_plane(*tensors, signal.bits)
            ],
            "squared_error": squared,
        },
        "close": close,
        "tolerance": 1e-9,
    }


def fit(case: Fit, signal: Signal, resources: Resources) -> dict:
    """One whole fit through `run_fit`, its files, and its verification."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        started = time.perf_counter()
        record = run_fit(case.spec, signal, folder, resources)
        seconds = time.perf_counter() - started
        curve = pd.read_parquet(folder / "curve.parquet")
        verdict = verify(record, signal, folder)
        tampered = _tampered(record, signal, folder) if record.status == "lossless" else False
    wrong = curve.filter(like="plane_").sum(axis=1)[case.spec.settings.sparse_until :]
    lossless = record.status == "lossless"
    zeros = [int(i) for i in wrong.index[wrong == 0]]
    # A regressed value can lie so near a rounding boundary that another order of sums moves it.
    thin = regresses_values(case.spec.representation)
    return _plain(
        {
            "exact": {
                "parameters": record.parameters,
                "precision": record.precision,
                "signal": record.signal_sha256,
                "flops of an update": (record.flops or 0) / (record.iterations + 1)
                if lossless and not case.spec.settings.sparse
                else None,
                # Laws that hold for every fit, whatever its numbers.
                "first zero is the iteration": zeros[:1]
                == ([record.iterations] if lossless else []),
                "curve ends at the iteration": len(curve) == record.iterations + 1,
                "best is the curve's": record.best.wrong_bits
                == min([int(wrong.min()), record.last.wrong_bits])
                if len(wrong)
                else None,
                "verified if lossless": None if thin else verdict.verified == lossless,
                "weights reproduce": None if thin else verdict.reproduced,
                "decodings compared": len(verdict.checks) == (3 if lossless else 1),
                "spoilt weights pass": tampered,
            },
            "lossless": lossless,
            "iterations": record.iterations,
            "wrong_bits": record.last.wrong_bits,
            "bits": int(np.prod(case.spec.shape)) * case.spec.bits,
            "info": {
                "seconds": seconds,
                "update_seconds": record.timing.fit / (record.iterations + 1),
                "memory_mib": record.peak_memory_mib,
                "engine": record.engine,
            },
        }
    )


def _tampered(record: Record, signal: Signal, folder: Path) -> bool:
    """Whether weights with another sign still pass verification: they must not."""
    spoilt = folder / "spoilt"
    weights = load_file(folder / "weights.safetensors")
    save_weights({k: -v for k, v in weights.items()}, spoilt / "weights.safetensors")
    return verify(record, signal, spoilt).verified


def reference_seconds() -> float:
    """Seconds of a fixed product and sine: the unit that other machines' times are given in."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        a, b = torch.randn(1024, 64), torch.randn(64, 64)
    best = float("inf")
    for _ in range(30):
        start = time.perf_counter()
        for _ in range(5):
            torch.sin(a @ b)
        best = min(best, (time.perf_counter() - start) / 5)
    return best


def measure(
    cases: Cases,
    *,
    parts: tuple[str, ...] = ("facts", "traces", "fits"),
    resources: Resources = ON_CPU,
    progress=lambda done, of: None,
) -> dict[str, dict]:
    """Part -> name -> row of every case.

    Parameters
    ----------
    cases : Cases
    parts : tuple of {"facts", "traces", "fits"}
    resources : Resources
    progress : callable
        Called with (cases done, cases).
    """
    use_threads(resources.threads)
    found: dict[str, dict] = {}
    traces = cases.traces() if "traces" in parts else []
    fits = cases.fits() if "fits" in parts else []
    total, done = len(traces) + len(fits), 0
    if "facts" in parts:
        found["facts"] = facts(cases)
    if "traces" in parts:
        found["traces"] = {}
    if "fits" in parts:
        found["fits"] = {}
    for case in traces:
        found["traces"][case.name] = trace(case, cases.signals[case.spec.signal])
        progress(done := done + 1, total)
    if fits:
        unit = reference_seconds()
    for case in fits:
        row = fit(case, cases.signals[case.spec.signal], resources)
        row["info"]["update_units"] = row["info"]["update_seconds"] / unit
        found["fits"].setdefault(case.method, {})[case.pair] = row
        progress(done := done + 1, total)
    return found
