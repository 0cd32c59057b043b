"""Load test of planning, collecting and reporting: ten thousand fits in a temporary folder.

`make scale-test` runs it. Records are copies of a few small fits (see `scale_records.py`); the
workflow that plans, collects and reports them is the real one. Seconds are printed beside their
targets and depend on the machine; memory, sizes and counts of files decide the exit code.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from scale_records import SCALE

GIB = 1024.0
MOST_ENTRIES, MOST_FILES_PER_FIT, MOST_MEGABYTES = 2_000, 3, 15.0
LIMIT = 1200  # seconds of one step


def measured(name: str, command: list[str], folder: Path, log: Path) -> dict:
    """Run a command; its seconds, and the largest process of its family."""
    start = time.monotonic()
    with open(log, "ab") as output:
        process = subprocess.Popen(
            ["timeout", str(LIMIT), *command],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdout=output,
            stderr=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
        sys.exit(f"error: {name} ended with {os.waitstatus_to_exitcode(status)}; see above")
    found = {
        "step": name,
        "seconds": time.monotonic() - start,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }
    seconds, cpu = found["seconds"], found["cpu_seconds"]
    print(f"{name}: {seconds:.1f} s, {cpu:.1f} s of CPU, {found['peak_mib']:.0f} MiB", flush=True)
    return found


def snakemake(*arguments: str) -> list[str]:
    """The workflow's command line in the folder of the load test."""
    options = ["--configfile", "config/load.yaml", "--quiet", "all"]
    return [sys.executable, "-m", "snakemake", *options, *arguments]


def largest_folder(folder: Path) -> tuple[int, str]:
    """Entries of the folder that has most of them, and which it is."""
    found = ((len(names) + len(files), at) for at, names, files in os.walk(folder))
    count, at = max(found)
    return count, str(Path(at).relative_to(folder))


def run(folder: Path, fits: int) -> tuple[pd.DataFrame, dict]:
    """Every step over so many fits; the steps, and counts of what they left."""
    log, steps = folder / "load.log", []
    maker = [sys.executable, str(Path(__file__).with_name("scale_records.py"))]
    # In processes of their own: a child's peak begins with what its parent holds.
    made = measured("make signals", [*maker, "prepare", ".", str(fits)], folder, log)["seconds"]
    steps.append(measured("dry run, nothing fitted", snakemake("-n"), folder, log))
    made += measured("make records", [*maker, "finish", "."], folder, log)["seconds"]
    # Snakemake's notes of what made each file, as if it had run these jobs.
    every = ["--cores", "4000", "--scheduler", "greedy"]
    marked = measured(
        "mark as run", snakemake("--touch", "--forceall", "--until", "verify", *every), folder, log
    )
    steps.append(measured("collect", snakemake("--until", "collect"), folder, log))
    steps.append(
        measured("tables and figures", snakemake("--until", "table", "figure"), folder, log)
    )
    steps.append(measured("report", snakemake(), folder, log))
    steps.append(measured("dry run, all finished", snakemake("-n"), folder, log))
    # The command of users: it looks for damage to every file first.
    run = [sys.executable, "-m", "lossless_inr.cli", "run", "--configfile", "config/load.yaml"]
    steps.append(measured("second run", run, folder, log))
    if (told := log.read_text(errors="replace")).count("damaged: ") or "Nothing to be" not in told:
        sys.exit(f"error: the second run had something to do:\n{told[-3000:]}")
    results = folder / "results" / SCALE
    entries, where = largest_folder(folder)
    files = sum(len(names) for _, _, names in os.walk(results / "records"))
    counts = {
        "fits": len(pd.read_parquet(results / "fits.parquet", columns=["seed"])),
        "shards": len(list((results / "shards").iterdir())),
        "report_mb": (folder / f"reports/{SCALE}/report.html").stat().st_size / 1e6,
        "files_per_fit": files / fits,
        "largest_folder": entries,
        "which": where,
        "made_in_seconds": made + marked["seconds"],
    }
    return pd.DataFrame(steps), counts


def failures(steps: pd.DataFrame, counts: dict, fits: int) -> list[str]:
    """What does not hold, of the things that do not depend on how busy a machine is."""
    checks = {
        f"{counts['fits']} of {fits} fits in the table": counts["fits"] == fits,
        "peak memory above 2 GiB": steps.peak_mib.max() <= 2 * GIB,
        "report above 15 MB": counts["report_mb"] <= MOST_MEGABYTES,
        "more than 3 files per fit": counts["files_per_fit"] <= MOST_FILES_PER_FIT,
        f"{counts['largest_folder']} entries in {counts['which']}": counts["largest_folder"]
        <= MOST_ENTRIES,
    }
    return [text for text, holds in checks.items() if not holds]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fits", type=int, default=10_000, help="a multiple of 50")
    parser.add_argument("--folder", type=Path, help="keep everything here; else a temporary one")
    parser.add_argument("--output", type=Path, help="write the figures here, as JSON")
    options = parser.parse_args()
    if options.fits % 50 or options.fits < 50:
        parser.error("--fits must be a multiple of 50")
    if options.folder is not None and options.folder.exists():
        parser.error(f"--folder: {options.folder} is there already; name a new one")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary) / "load").resolve()
        folder.mkdir(parents=True)
        steps, counts = run(folder, options.fits)
    large = options.fits >= 10_000
    targets = {"dry run, nothing fitted": 60, "dry run, all finished": 30, "second run": 30}
    shown = steps.assign(target=steps.step.map(targets) if large else float("nan"))
    print(shown.to_string(index=False, float_format=lambda value: f"{value:.1f}"))
    three = steps.seconds[steps.step.isin(["collect", "tables and figures", "report"])].sum()
    print(f"collect, tables and report together: {three:.1f} s (target at 10,000: 120 s)")
    print(", ".join(f"{name} {value}" for name, value in counts.items()))
    if options.output:
        text = json.dumps({"steps": steps.to_dict("records"), "counts": counts}, indent=1)
        options.output.write_text(text + "\n", encoding="utf-8")
    missed = failures(steps, counts, options.fits)
    for line in missed:
        print(f"does not hold: {line}", file=sys.stderr)
    print(f"scale-test: {'FAILED' if missed else 'passed'} with {options.fits} fits")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
