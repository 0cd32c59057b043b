"""How far the regression gate's numbers move when nothing has changed.

    python benchmarks/regress_study.py bands     # benchmarks/baseline/bands.json
    python benchmarks/regress_study.py reruns    # benchmarks/results/regress-reruns.csv

`bands`: every fit of the gate again under other arithmetic (see VARIANTS), held against the
baseline. A band is twice the largest mean log ratio seen, and at least 3 %. The spread over seeds
stands beside it, for scale.

`reruns`: the whole gate as it is, 40 times its quick part and 3 times all of it, with one to four
threads, with the processor's best instructions and with its plainest. With no false alarm in 40,
their rate is below 7.5 % at 95 % confidence (rule of three: 3 / 40).

Both go on where they were stopped; what they have measured of another commit's baseline they
measure again. Two processes at a time; about 10 and 25 minutes on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from lossless_inr.files import replacing
from lossless_inr.regress import baseline, compare

FOLDER = Path("benchmarks/baseline")
KEPT = Path("results/regress-study")
RERUNS = Path("benchmarks/results/regress-reruns.csv")
LEAST = 0.03
PLAIN = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
# Threads that spin while they wait make each other late where they outnumber the cores.
WAITING = {"OMP_WAIT_POLICY": "passive"}
VARIANTS = {
    "2 threads, plain instructions": {"resources": {"threads": 2}, "environment": PLAIN},
    "PyTorch pass, slices of 100 rows": {
        "resources": {"compiled": False, "slice_rows": 100},
        "environment": {},
    },
}
QUICK_RERUNS, WHOLE_RERUNS = 40, 3


def accepted() -> str:
    """Short digest of what the gate holds against: measurements are of one baseline."""
    digest = hashlib.sha256()
    for part in baseline.PARTS:
        digest.update((FOLDER / f"{part}.json").read_bytes())
    return digest.hexdigest()[:12]


def measured(number: int, name: str) -> Path:
    """One variant's rows, measured by a process of its own unless they are there."""
    output = KEPT / accepted() / f"{number}.json"
    if not output.exists():
        subprocess.run(
            [sys.executable, __file__, "--child", name, str(output)],
            env=os.environ | VARIANTS[name]["environment"],
            check=True,
        )
    return output


def child(variant: str, output: Path) -> None:
    """Measure one variant in this process."""
    from lossless_inr.fitting.fit import Resources
    from lossless_inr.regress.cases import Cases
    from lossless_inr.regress.measure import measure

    resources = Resources(device="cpu", **VARIANTS[variant]["resources"])
    rows = measure(Cases(quick=False), parts=("traces", "fits"), resources=resources)
    with replacing(output, "w", encoding="utf-8") as file:
        json.dump(rows, file)


def furthest(base: dict, rows: dict, arithmetic: str) -> tuple[float, str]:
    """Largest relative difference of a loss, and the trace that has it."""
    return max(
        (
            float(compare.deviations(base[row]["close"]["loss"], rows[row]["close"]["loss"]).max()),
            row,
        )
        for row in base
        if row.endswith(arithmetic)
    )


def bands() -> None:
    """Run the variants side by side and write the bands."""
    base, _, _ = baseline.load(FOLDER)
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(measured, range(len(VARIANTS)), VARIANTS))
    found = {
        name: json.loads(path.read_text()) for name, path in zip(VARIANTS, outputs, strict=True)
    }
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
        f"{arithmetic} traces": {
            name: furthest(base["traces"], rows["traces"], arithmetic)
            for name, rows in found.items()
        }
        for arithmetic in ("float64", "float32")
    }
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in methods.items())
    head = {"schema": baseline.SCHEMA, "baseline": accepted(), **traces}
    with replacing(FOLDER / "bands.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ',\n"methods": {\n' + lines + "\n}}\n")


def rerun(part: str, number: int) -> dict:
    """Run the gate once, unchanged, in a process of its own."""
    threads, plain = 1 + number % 4, number // 4 % 2 == 1
    with tempfile.TemporaryDirectory() as report:
        command = [sys.executable, "-m", "lossless_inr.cli", "regress", "--report", report]
        command += ["--threads", str(threads)] + (["--quick"] if part == "quick" else [])
        start = time.perf_counter()
        done = subprocess.run(
            command,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)} | WAITING | (PLAIN if plain else {}),
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
        if done.returncode not in (0, 1):
            sys.exit(f"error: the gate stopped: {done.stderr.strip()}")
        cases = list(ElementTree.parse(Path(report) / "junit.xml").iter("testcase"))
    failing = [case.get("name") for case in cases if case.find("failure") is not None]
    return {
        "baseline": accepted(),
        "part": part,
        "run": number,
        "threads": threads,
        "instructions": "plain" if plain else "best",
        "rows": len(cases),
        "failed": len(failing),
        "first_failed": failing[0] if failing else "",
        "seconds": round(seconds, 1),
    }


def reruns() -> None:
    """Run the gate again and again; a line of the table as soon as it is measured."""
    wanted = [("quick", n) for n in range(QUICK_RERUNS)] + [("all", n) for n in range(WHOLE_RERUNS)]
    rows = []
    if RERUNS.exists():
        known = pd.read_csv(RERUNS, keep_default_na=False)
        rows = known[known.baseline == accepted()].to_dict("records")
    there = {(row["part"], row["run"]) for row in rows}
    with ThreadPoolExecutor(2) as pool:
        for row in pool.map(lambda one: rerun(*one), [one for one in wanted if one not in there]):
            rows.append(row)
            with replacing(RERUNS, "w", encoding="utf-8") as file:
                pd.DataFrame(rows).to_csv(file, index=False)
    for part in ("quick", "all"):
        mine = [row["failed"] == 0 for row in rows if row["part"] == part]
        print(f"{part}: {sum(mine)} of {len(mine)} passed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="?", choices=("bands", "reruns"))
    parser.add_argument("--child", nargs=2, metavar=("VARIANT", "OUTPUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]))
    elif options.what == "bands":
        bands()
    elif options.what == "reruns":
        reruns()
    else:
        parser.error("say what: bands or reruns")
