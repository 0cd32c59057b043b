"""What a GPU is used for when one is lent: paper-scale fits, one after another, resumably.

Every fit's record is written as it ends and a rerun skips what is done; the fit at hand when the
time is up keeps its state. Records (no weights) come back as one file and are merged into
`results/reference/`, which is committed. Called by gpu_batch.sh; see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import numpy as np

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.errors import UserError
from lossless_inr.experiments.plan import paper_ratio_width
from lossless_inr.fitting import digests
from lossless_inr.fitting.recipe import load_recipes
from lossless_inr.fitting.record import FitSpec, Record, Verdict
from lossless_inr.signals import Signal
from lossless_inr.signals.resample import centre_square, downsample

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results/reference"
KODAK = [f"kodim{i:02d}" for i in range(1, 25)]
RGB16 = {"weld": "rgb16-libavif/weld_16bit.png", "hdr_room": "rgb16-libjxl/hdr_room.png"}
BASELINES = ["siren", "finer", "wire", "gauss", "relu_pe", "tanh_pe"]
# The published recipe needs 790 +- 109 (8 bit) and 3,450 +- 877 (16 bit) iterations.
BUDGET = {8: 3000, 16: 8000}
# One bit-plane iteration costs n iterations of a baseline; this is the paper's own budget.
BASELINE_BUDGET = 790
# Seconds kept for verification before the time limit, and the largest part of a carried state.
RESERVE, PART = 60.0, 15 * 2**20


# --- signals --------------------------------------------------------------------------------


def prepare(mirror: Path, folder: Path) -> None:
    """Write the signals of the paper-scale plan from the mirror's files."""
    try:
        from imagecodecs import png_decode
    except ImportError:
        raise UserError(
            "imagecodecs is needed to read 16-bit RGB; pip install imagecodecs"
        ) from None
    files = {f"kodak/256x256/{name}": (mirror / f"kodak/{name}.png", 8) for name in KODAK}
    files |= {f"rgb16/256x256/{name}": (mirror / path, 16) for name, path in RGB16.items()}
    for name, (path, bits) in files.items():
        if not path.exists():
            raise UserError(f"{path}: no such file; give the mirror's folder")
        samples = centre_square(png_decode(path.read_bytes()))
        samples = downsample(samples, 256, 256, from_bits=bits, to_bits=bits)
        dtype = np.uint8 if bits == 8 else np.uint16
        signal = Signal(name=name, samples=samples.astype(dtype), bits=bits, kind="photo")
        target = folder / f"{name}.npz"
        target.parent.mkdir(parents=True, exist_ok=True)
        signal.save(target)
    print(f"{len(files)} signals in {folder}")


def dry_signals(folder: Path) -> list[str]:
    """Three small offline photographs, for the dry run."""
    catalog = Catalog(ROOT / "config/datasets.tsv", ROOT)
    names = [f"skimage/12x12/{n}" for n in ("astronaut", "coffee")] + ["skimage16/12x12/chelsea"]
    for name in names:
        target = folder / f"{name}.npz"
        target.parent.mkdir(parents=True, exist_ok=True)
        catalog.prepare(name).save(target)
    return names


# --- the plan -------------------------------------------------------------------------------


def spec_of(signal: Signal, network, representation, recipe, iterations, width) -> FitSpec:
    """One fit of five hidden layers."""
    settings = load_recipes(ROOT / "config/recipes")[recipe].resolve(
        network=network,
        representation=representation,
        bits=signal.bits,
        width=width,
        iterations=iterations,
    )
    return FitSpec(
        signal=signal.name,
        kind=signal.kind,
        shape=list(signal.samples.shape),
        bits=signal.bits,
        network=network,
        width=width,
        hidden_layers=5,
        representation=representation,
        recipe=recipe,
        settings=settings,
        iterations=iterations,
        seed=0,
    )


def plan(signals: dict[str, Signal], dry: bool) -> list[FitSpec]:
    """Fits in the order of their worth; later ones may not be reached."""
    eight = [s for s in signals.values() if s.bits == 8]
    sixteen = [s for s in signals.values() if s.bits == 16]
    budget = {8: 400, 16: 400} if dry else BUDGET

    def fits(chosen, network, representation, recipe, iterations=None):
        return [
            spec_of(
                signal,
                network,
                representation,
                recipe,
                iterations or budget[signal.bits],
                paper_ratio_width(signal.samples.shape, signal.bits, 5) if dry else 512,
            )
            for signal in chosen
        ]

    few = eight[:1] if dry else eight[::4]  # six of Kodak's 24
    specs = fits(eight, "siren", "bithead", "fast")
    specs += fits(few, "siren", "bithead", "fast-tf32")
    specs += fits(few, "siren", "bithead", "fast-bf16")
    specs += fits(few, "siren", "bitplane", "published")
    specs += fits(few, "siren", "bitplane", "fast")
    specs += fits(sixteen, "siren", "bithead", "fast")
    specs += fits(sixteen, "siren", "bithead", "fast-tf32")
    for signal in eight:  # image by image, so that a part of the plan compares like with like
        for network in BASELINES[:1] if dry else BASELINES:
            specs += fits([signal], network, "direct", "published", BASELINE_BUDGET)
    specs += fits(sixteen, "siren", "bitplane", "fast")
    specs += fits(sixteen, "siren", "bitplane", "published")
    return specs


# --- running --------------------------------------------------------------------------------


def read_lines(path: Path) -> list[dict]:
    """Entries of a records file: {"record": ..., "verdict": ...}."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def key_of(record: dict, device: str) -> tuple[str, str]:
    """What makes two records answers to the same question."""
    return record["spec_digest"], device


def check(folder: Path, signal_path: Path) -> dict:
    """Verify one fit, in a process that never saw it."""
    from lossless_inr.fitting.verify import verify

    record = Record.load(folder / "record.json")
    return verify(record, Signal.load(signal_path), folder).model_dump()


def run(signals_at: Path, out: Path, work: Path, *, limit: float, device: str, dry: bool) -> None:
    """Fit what is missing until the time is up."""
    from lossless_inr.engine.loop import OutOfTime
    from lossless_inr.fitting.fit import Resources, choose_device, run_or_record_failure

    start = time.monotonic()
    reserve = min(RESERVE, limit / 5)
    choose_device(device)
    names = (
        dry_signals(signals_at)
        if dry
        else sorted(
            str(path.relative_to(signals_at).with_suffix("")) for path in signals_at.rglob("*.npz")
        )
    )
    if not names:
        raise UserError(f"{signals_at}: no signals; run 'gpu_batch.sh prepare' first")
    signals = {name: Signal.load(signals_at / f"{name}.npz") for name in names}
    out.mkdir(parents=True, exist_ok=True)
    lines = out / "records.jsonl"
    done = {
        key_of(entry["record"], entry["record"]["provenance"].get("device", ""))
        for entry in [*read_lines(lines), *([] if dry else read_lines(REFERENCE / "records.jsonl"))]
    }
    specs = plan(signals, dry)
    resources = Resources(device, threads=2, exclusive=True, deadline=start + limit - reserve)
    pending: list[tuple[FitSpec, Record, Future]] = []

    def collect(wait: bool) -> None:
        for item in list(pending):
            spec, record, verdict = item
            if wait or verdict.done():
                left = max(1.0, start + limit - time.monotonic()) if wait else None
                try:
                    found = verdict.result(timeout=left)
                except TimeoutError:
                    continue  # not a record without its verdict: the fit is done again
                entry = {"record": record.model_dump(), "verdict": found}
                with open(lines, "a", encoding="utf-8") as file:
                    file.write(json.dumps(entry, sort_keys=True) + "\n")
                pending.remove(item)
                shutil.rmtree(work / spec.folder)

    workers = ProcessPoolExecutor(1 if dry else 6, mp_context=multiprocessing.get_context("spawn"))
    fitted, skipped, unfinished = 0, 0, None
    for spec in specs:
        if (spec.digest, device) in done:
            skipped += 1
            continue
        folder = work / spec.folder
        try:
            if time.monotonic() >= resources.deadline:
                raise OutOfTime("before it began")
            restore_state(folder, out, spec.digest)
            record = run_or_record_failure(spec, signals[spec.signal], folder, resources)
        except OutOfTime:
            unfinished = spec
            carry_state(folder, out, spec.digest)
            break
        fitted += 1
        print(
            f"{spec.signal} {spec.method}: {record.status} after {record.iterations} iterations, "
            f"{record.timing.fit if record.timing else 0:.2f} s",
            flush=True,
        )
        pending.append(
            (spec, record, workers.submit(check, folder, signals_at / f"{spec.signal}.npz"))
        )
        collect(wait=False)
    collect(wait=True)
    workers.shutdown(wait=False, cancel_futures=True)
    for process in multiprocessing.active_children():
        process.terminate()
    state = f"; stopped in {unfinished.signal} {unfinished.method}" if unfinished else ""
    print(f"{fitted} fitted, {skipped} were done, {len(specs)} in the plan{state}")


def carry_state(folder: Path, out: Path, digest: str) -> None:
    """Copy an unfinished fit's state into files small enough to travel, in place of older ones."""
    for old in out.glob("state-*"):
        old.unlink()
    path = folder / "state.safetensors"
    if path.exists():
        content = path.read_bytes()
        for number, begin in enumerate(range(0, len(content), PART)):
            (out / f"state-{digest[:12]}.{number}").write_bytes(content[begin : begin + PART])


def restore_state(folder: Path, out: Path, digest: str) -> None:
    """Put a carried state of this fit back."""
    parts = sorted(out.glob(f"state-{digest[:12]}.*"), key=lambda path: int(path.suffix[1:]))
    if parts and not (folder / "state.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        content = b"".join(path.read_bytes() for path in parts)
        (folder / "state.safetensors").write_bytes(content)


# --- merging --------------------------------------------------------------------------------


def merge(out: Path, reference: Path) -> None:
    """Merge records that came back into the committed ones; the newer of two counts."""
    import pandas as pd

    entries = {}
    for entry in [*read_lines(reference / "records.jsonl"), *read_lines(out / "records.jsonl")]:
        record = Record.model_validate(entry["record"])
        Verdict.model_validate(entry["verdict"])
        if entry["verdict"]["record_digest"] != digests.of_json(record.model_dump()):
            raise UserError(f"{out}: the verdict of {record.spec.folder} is of another record")
        entries[key_of(entry["record"], record.provenance["device"])] = (record, entry)
    if not entries:
        raise UserError(f"{out}: no records.jsonl there; give the folder that came back")
    ordered = sorted(entries.values(), key=lambda e: (e[0].spec.folder, e[0].spec_digest))
    reference.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(entry, sort_keys=True) + "\n" for _, entry in ordered)
    (reference / "records.jsonl").write_text(text, encoding="utf-8")
    table = pd.DataFrame(
        [
            {
                "signal": record.spec.signal,
                "bits": record.spec.bits,
                "method": record.spec.method,
                "device": record.provenance["machine"]["gpu"] or "cpu",
                "status": record.status,
                "iterations": record.iterations,
                "verified": entry["verdict"]["verified"],
                "ber": record.last.ber if record.last else None,
                "seconds": record.timing.fit if record.timing else None,
                "tflop": record.flops / 1e12 if record.flops else None,
                "precision": record.precision,
            }
            for record, entry in ordered
        ]
    )
    table.to_csv(reference / "summary.csv", index=False)
    print(f"{len(ordered)} records in {reference}")


def main() -> None:
    """Command line of gpu_batch.sh."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare")
    one.add_argument("mirror", type=Path)
    one.add_argument("folder", type=Path)
    one = commands.add_parser("run")
    one.add_argument("--signals", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--work", type=Path, required=True)
    one.add_argument("--limit", type=float, required=True, help="seconds")
    one.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    one.add_argument("--dry", action="store_true", help="small signals, the whole procedure")
    one = commands.add_parser("merge")
    one.add_argument("out", type=Path)
    one.add_argument("reference", type=Path, nargs="?", default=REFERENCE)
    a = parser.parse_args()
    if a.command == "prepare":
        prepare(a.mirror, a.folder)
    elif a.command == "merge":
        merge(a.out, a.reference)
    else:
        run(a.signals, a.out, a.work, limit=a.limit, device=a.device, dry=a.dry)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
