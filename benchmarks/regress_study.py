"""How far fits move when nothing changed: bands of the regression gate.

Every fit of the gate is repeated under other arithmetic (two threads with the processor's plainest
instructions; PyTorch instead of the compiled pass, in other slices) and held against the baseline.
A band is twice the largest mean log ratio seen, and at least 3 %. The spread over seeds stands
beside it, for scale. Writes `benchmarks/baseline/bands.json`; about four minutes on two cores.

    python benchmarks/regress_study.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lossless_inr.regress import baseline, compare

FOLDER = Path("benchmarks/baseline")
LEAST = 0.03
VARIANTS = {
    "2 threads, plain instructions": {
        "resources": {"threads": 2},
        "environment": {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    },
    "PyTorch pass, slices of 100 rows": {
        "resources": {"compiled": False, "slice_rows": 100},
        "environment": {},
    },
}


def child(variant: str, output: Path) -> None:
    """Measure one variant in this process."""
    from lossless_inr.fitting.fit import Resources
    from lossless_inr.regress.cases import Cases
    from lossless_inr.regress.measure import measure

    resources = Resources(device="cpu", **VARIANTS[variant]["resources"])
    rows = measure(Cases(quick=False), parts=("traces", "fits"), resources=resources)
    output.write_text(json.dumps(rows))


def main() -> None:
    """Run the variants side by side and write the bands."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--child", nargs=2, metavar=("VARIANT", "OUTPUT"))
    options = parser.parse_args()
    if options.child:
        return child(options.child[0], Path(options.child[1]))
    base, _, _ = baseline.load(FOLDER)
    with tempfile.TemporaryDirectory() as temporary:
        outputs = {name: Path(temporary) / f"{k}.json" for k, name in enumerate(VARIANTS)}
        running = [
            subprocess.Popen(
                [sys.executable, __file__, "--child", name, str(path)],
                env=os.environ | VARIANTS[name]["environment"],
            )
            for name, path in outputs.items()
        ]
        if any([process.wait() for process in running]):
            sys.exit("error: a variant failed; see above")
        found = {name: json.loads(path.read_text()) for name, path in outputs.items()}
    methods = {}
    for method, before in base["fits"].items():
        means, most = {}, 0.0
        for name, rows in found.items():
            metric, ratios = compare.log_ratios(before, rows["fits"][method])
            means[name] = round(float(ratios.mean()), 4)
            most = max(most, float(abs(ratios).max()))
        values = {}
        for pair, row in before.items():
            values.setdefault(pair.split()[0], []).append(np.log(row[metric] + 1))
        methods[method] = {
            "metric": metric,
            "band": round(max(LEAST, 2 * max(map(abs, means.values()))), 4),
            "mean": means,
            "largest of one fit": round(most, 4),
            "sd over seeds": round(float(np.mean([np.std(v, ddof=1) for v in values.values()])), 4),
        }
    traces = {
        name: max(
            (
                float(
                    compare.deviations(
                        base["traces"][row]["close"]["loss"], rows["traces"][row]["close"]["loss"]
                    ).max()
                ),
                row,
            )
            for row in base["traces"]
            if row.endswith(suffix)
        )
        for name, rows in found.items()
        for suffix in ("float64",)
    }
    compiled = {
        name: max(
            float(
                compare.deviations(
                    base["traces"][row]["close"]["loss"], rows["traces"][row]["close"]["loss"]
                ).max()
            )
            for row in base["traces"]
            if row.endswith("float32")
        )
        for name, rows in found.items()
    }
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in methods.items())
    head = {"schema": baseline.SCHEMA, "float64 traces": traces, "float32 traces": compiled}
    (FOLDER / "bands.json").write_text(
        json.dumps(head)[:-1] + ',\n"methods": {\n' + lines + "\n}}\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
