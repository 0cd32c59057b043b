"""What a GPU is used for when one is lent: paper-scale fits, one after another, resumably.

Every fit's record is written as it ends and a rerun skips what is done; the fit at hand when the
time is up keeps its state. Records (no weights) come back as one file and are merged into
`results/reference/`, which is committed. Called by gpu_batch.sh; see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from lossless_inr.errors import UserError
from lossless_inr.experiments.reference import Entry, merge, read
from lossless_inr.fitting.recipe import load_recipes
from lossless_inr.fitting.record import FitSpec, Record
from lossless_inr.signals import Signal

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results/reference/paper"
PLAN = "plan.jsonl"
# Seconds kept for verification before the time limit, and the largest part of a carried state.
RESERVE, PART = 60.0, 15 * 2**20


# --- the plan -------------------------------------------------------------------------------


def priorities(scale: str) -> list[FitSpec]:
    """The fits of a scale's tables in the order of their worth; later ones may not be reached."""
    # What plans and fetches needs packages that the GPU's machine lacks.
    from lossless_inr.experiments.plan import Plan
    from lossless_inr.experiments.spec import Config

    plan = Plan(Config(scale=scale), ROOT)

    def pick(experiment, data_set=None, *, few=False, **wanted):
        chosen = [
            fit
            for fit in plan.fits[experiment]
            if data_set in (None, fit.signal.split("/")[0])
            and all(getattr(fit, key) == value for key, value in wanted.items())
        ]
        names = list(dict.fromkeys(fit.signal for fit in chosen))
        names = names[::4] if few else names  # six of Kodak's 24
        # Image by image, so that a part of the plan compares like with like.
        return [fit for name in names for fit in chosen if fit.signal == name]

    def at(fits, recipe):
        """The same fits at another precision."""
        chosen = load_recipes(ROOT / "config/recipes")[recipe]
        for fit in fits:
            settings = chosen.resolve(
                network=fit.network,
                representation=fit.representation,
                bits=fit.bits,
                width=fit.width,
                iterations=fit.iterations,
            )
            yield fit.model_copy(update={"recipe": recipe, "settings": settings})

    if scale != "paper":  # the dry run
        return plan.fits["table1"]
    paper = {"network": "siren", "representation": "bitplane", "recipe": "published"}
    ours = {"representation": "bithead", "recipe": "fast"}
    direct = {"representation": "direct", "recipe": "published"}
    fits = pick("table1", "kodak", **ours)
    fits += pick("table1", "kodak", few=True, **paper)
    fits += at(pick("table1", "kodak", few=True, **ours), "fast-tf32")
    fits += at(pick("table1", "kodak", few=True, **ours), "fast-bf16")
    fits += pick("table1", "rgb16", **ours)
    fits += pick("table1", "kodak", few=True, **direct)
    fits += pick("table1", "rgb16", **paper)
    fits += pick("table1", "kodak", **direct)
    fits += pick("table1", "rgb16", **direct)
    fits += pick("table3", few=True) + pick("table8", few=True) + pick("table2", "kodak", few=True)
    fits += pick("table1", "kodak", **paper)
    return list({fit.digest: fit for fit in fits}.values())


def prepare(mirror: str, folder: Path, scale: str) -> None:
    """Write the plan, and the signals that it needs, which the GPU's machine could not make."""
    from lossless_inr.datasets.command import fetch_and_prepare

    specs = priorities(scale)
    names = list(dict.fromkeys(spec.signal for spec in specs))
    wanted: dict[tuple[str, str], list[str]] = {}
    for data_set, size, name in (signal.split("/") for signal in names):
        wanted.setdefault((data_set, size), []).append(name)
    for (data_set, size), only in wanted.items():
        fetch_and_prepare(data_set, mirror=mirror, sizes=[size], only=only, root=ROOT)
    for signal in names:
        target = folder / f"{signal}.npz"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / f"data/prepared/{signal}.npz", target)
    lines = [json.dumps(spec.model_dump(mode="json"), sort_keys=True) + "\n" for spec in specs]
    (folder / PLAN).write_text("".join(lines), encoding="utf-8")
    print(f"{len(specs)} fits of {len(names)} signals in {folder}")


# --- running --------------------------------------------------------------------------------


def check(folder: Path, signal_path: Path) -> Entry:
    """Verify one fit, in a process that never saw it."""
    from lossless_inr.fitting.verify import verify

    record = Record.load(folder / "record.json")
    return Entry(record=record, verdict=verify(record, Signal.load(signal_path), folder))


def run(
    signals_at: Path, out: Path, work: Path, *, limit: float, device: str, reference: Path
) -> None:
    """Fit what is missing until the time is up."""
    from lossless_inr.engine.loop import OutOfTime
    from lossless_inr.fitting.fit import Resources, choose_device, run_or_record_failure

    start = time.monotonic()
    reserve = min(RESERVE, limit / 5)
    choose_device(device)
    if not (signals_at / PLAN).is_file():
        raise UserError(f"{signals_at}: no {PLAN}; run 'gpu_batch.sh prepare' first")
    lines = (signals_at / PLAN).read_text(encoding="utf-8").splitlines()
    specs = [FitSpec(**json.loads(line)) for line in lines]
    out.mkdir(parents=True, exist_ok=True)
    records = out / "records.jsonl"
    done = {entry.key for entry in [*read(records), *read(reference / "records.jsonl")]}
    resources = Resources(device, threads=2, exclusive=True, deadline=start + limit - reserve)
    pending: list[tuple[FitSpec, Future]] = []

    def collect(wait: bool) -> None:
        for item in list(pending):
            spec, verdict = item
            if wait or verdict.done():
                left = max(1.0, start + limit - time.monotonic()) if wait else None
                try:
                    entry = verdict.result(timeout=left)
                except TimeoutError:
                    continue  # not a record without its verdict: the fit is done again
                with open(records, "a", encoding="utf-8") as file:
                    file.write(entry.line)
                pending.remove(item)
                shutil.rmtree(work / spec.folder)

    count = min(6, max(1, (os.cpu_count() or 1) - 2))
    workers = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))
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
            signal = Signal.load(signals_at / f"{spec.signal}.npz")
            record = run_or_record_failure(spec, signal, folder, resources)
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
        verdict = workers.submit(check, folder, signals_at / f"{spec.signal}.npz")
        pending.append((spec, verdict))
        collect(wait=False)
    collect(wait=True)
    workers.shutdown(wait=False, cancel_futures=True)
    for process in multiprocessing.active_children():
        process.terminate()
    state = f"; stopped in {unfinished.signal} {unfinished.method}" if unfinished else ""
    # One whose verdict took too long has no record, and is fitted again.
    print(f"{fitted - len(pending)} fitted, {skipped} were done, {len(specs)} in the plan{state}")


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


# --- command line ---------------------------------------------------------------------------


def main() -> None:
    """Command line of gpu_batch.sh."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare")
    one.add_argument("mirror", help="the mirror's folder; '' for none")
    one.add_argument("folder", type=Path)
    one.add_argument("--scale", default="paper", help="smoke: small fits, for the dry run")
    one = commands.add_parser("run")
    one.add_argument("--signals", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--work", type=Path, required=True)
    one.add_argument("--limit", type=float, required=True, help="seconds")
    one.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    one.add_argument("--reference", type=Path, default=REFERENCE, help="what is done already")
    one = commands.add_parser("merge")
    one.add_argument("out", type=Path)
    one.add_argument("reference", type=Path, nargs="?", default=REFERENCE)
    a = parser.parse_args()
    if a.command == "prepare":
        prepare(a.mirror, a.folder, a.scale)
    elif a.command == "merge":
        new = read(a.out / "records.jsonl")
        if not new:
            raise UserError(f"{a.out}: no records.jsonl there; give the folder that came back")
        print(f"{len(merge(new, a.reference))} records in {a.reference}")
    else:
        run(a.signals, a.out, a.work, limit=a.limit, device=a.device, reference=a.reference)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
