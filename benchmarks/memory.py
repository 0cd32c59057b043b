"""Memory of one training step at the paper's size: 16-bit RGB, 256x256, 512x5, coordinate form.

The whole batch would keep about 26 GB of activations; slices of rows keep one slice. Each kind of
pass runs in a fresh process; the number is the growth of its peak over its start (on CUDA, of the
device's allocated memory).

    python benchmarks/memory.py    # five minutes on two cores; writes results/memory.json
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from bench_engine import Bench, Case

from lossless_inr.fitting.fit import Resources, peak_memory_mib, run_fit

RESULT = Path(__file__).with_name("results") / "memory.json"


def measure(kind: str) -> dict:
    """One update and one pass without gradients, in this process."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bench = Bench(Case("skimage16/256x256/chelsea", 512, 1, device), torch.get_num_threads())
    spec = bench.spec("bitplane", "published", 1)
    before, start = peak_memory_mib(torch.device(device)), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        resources = Resources(device, threads=bench.threads, compiled=kind == "compiled")
        record = run_fit(spec, bench.signal, Path(folder), resources)
    return {
        "device": device,
        "engine": record.engine,
        "slice_rows": record.slice_rows,
        "growth_mib": round(peak_memory_mib(torch.device(device)) - before),
        "seconds": round(time.perf_counter() - start),
    }


def main() -> None:
    """Measure each kind of pass in a process of its own."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    found = []
    for kind in ("layerwise", "compiled"):
        command = [sys.executable, __file__, kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(found[-1], flush=True)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
