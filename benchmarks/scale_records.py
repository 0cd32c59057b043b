"""A finished scale of any size, for load tests of the pipeline: copies of a few real fits.

Every method is really fitted, and verified, on five small photographs. Each further fit of the plan
is one of these under another name of signal and another seed: record, weights, curve and decoded
samples are whole and consistent files of the layout that the rules write. It loads the pipeline;
**no result is read from it**.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.shards import FEWEST_SHARDS, MOST_SHARDS
from lossless_inr.experiments.spec import Config
from lossless_inr.files import sha256_of, write
from lossless_inr.fitting import digests, packs
from lossless_inr.fitting.record import FitSpec, Record, Verdict
from lossless_inr.schema import validate
from lossless_inr.seals import seal
from lossless_inr.signals import Signal

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(__file__).with_name("scale")
SCALE = "miniature"
# Rows of the table of stand-ins: one photograph each.
PHOTOGRAPHS = 5
METHODS = 10
FITS_PER_SHARD = 15


def project(folder: Path, fits: int) -> Path:
    """A copy of the project whose config asks for about so many fits.

    Parameters
    ----------
    folder : Path
        Made anew.
    fits : int
        A multiple of 50: ten methods on as many images of each of five photographs.
    """
    for name in ("workflow", "config", "profiles", "lossless_inr"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    shutil.rmtree(folder / "config/experiments")
    shutil.copytree(DATA / "experiments", folder / "config/experiments")
    each = fits // (METHODS * PHOTOGRAPHS)
    table = (DATA / "datasets.tsv").read_text(encoding="utf-8").splitlines()
    for k in range(PHOTOGRAPHS):
        row = table[k + 1].split("\t")
        row[1] = f"{{{1 + k * each:05d}..{(k + 1) * each:05d}}}"
        table[k + 1] = "\t".join(row)
    (folder / "config/load.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    # As many shards as paper scale cuts; these fits are too small to need them.
    shards = min(max(FEWEST_SHARDS, fits // FITS_PER_SHARD), MOST_SHARDS)
    fit = {"device": "cpu", "shards": shards}
    settings = {"scale": SCALE, "datasets": "config/load.tsv", "fit": fit}
    (folder / "config/load.yaml").write_text(json.dumps(settings) + "\n", encoding="utf-8")
    return folder


def config(folder: Path) -> Config:
    """The settings that `project` wrote."""
    return validate(Config, json.loads((folder / "config/load.yaml").read_text()), "load.yaml")


def write_signals(plan: Plan, folder: Path) -> dict[str, Signal]:
    """Prepared signals of a plan, by name; each photograph is prepared once."""
    by_source: dict[str, Signal] = {}
    signals = {}
    for name in dict.fromkeys(fit.signal for fit in plan.all_fits):
        entry, _ = plan.catalog.find(name)
        if entry.source not in by_source:
            by_source[entry.source] = plan.catalog.prepare(name)
        first = by_source[entry.source]
        signals[name] = Signal(**{**first.__dict__, "name": name, "title": entry.title})
        signals[name].save(folder / f"{name}.npz")
    return signals


def copies(spec: FitSpec, of: Record) -> Record:
    """The record of a fit, told of another signal of the same samples and another seed."""
    return of.model_copy(update={"spec": spec, "spec_digest": spec.digest})


class Originals:
    """The real fits, one per method and photograph, each with its verdict.

    Parameters
    ----------
    folder : Path
        Their files; kept, so that they are fitted once.
    """

    def __init__(self, folder: Path):
        self.folder, self.known = folder, {}

    def of(self, spec: FitSpec, signal: Signal) -> tuple[Path, Record, Verdict]:
        """Folder, record and verdict of the original of a specification."""
        from lossless_inr.fitting.fit import Resources, run_fit
        from lossless_inr.fitting.verify import verify

        key = digests.of_json([signal.sha256, spec.model_dump(exclude={"signal", "seed"})])
        if key not in self.known:
            place = self.folder / key[:16]
            record = run_fit(spec, signal, place, Resources(device="cpu", exclusive=False))
            self.known[key] = (place, record, verify(record, signal, place))
        return self.known[key]


def write_records(plan: Plan, results: Path, signals: dict[str, Signal], originals: Originals):
    """Every fit of the plan, its shard's stamp and its verdict, as the fit and verify rules do."""
    for name, shard in plan.shards().items():
        stamp, verdicts, kept = [], [], {}
        for spec in shard.fits:
            source, record, verdict = originals.of(spec, signals[spec.signal])
            record = copies(spec, record)
            folder = results / spec.folder
            folder.mkdir(parents=True)
            for file in kept_files(source):
                shutil.copy(file, folder)
            record.save(folder)
            kept |= {str(path): sha256_of(path) for path in folder.iterdir()}
            digest = digests.of_json(record.model_dump())
            entry = {"spec_digest": spec.digest, "folder": spec.folder, "status": record.status}
            entry["record_digest"] = digest
            stamp.append(entry)
            said = verdict.model_copy(update={"record_digest": digest})
            verdicts.append(entry | {"verdict": said.model_dump()})
        fitted, verified = (str(results / room / f"{name}.json") for room in ("shards", "verified"))
        write(Path(fitted), json.dumps(stamp, indent=1).encode())
        used = [f"data/prepared/{signal}.npz" for signal in shard.signals]
        seal(f"logs/{SCALE}/fit/{name}.log", [fitted], used, kept)
        pack = packs.write(results, name, stamp)
        packs.clear(results, stamp)
        verdicts = [verdict | {"pack": pack} for verdict in verdicts]
        write(Path(verified), json.dumps(verdicts, indent=1).encode())
        digest = sha256_of(results / pack)
        seal(f"logs/{SCALE}/verify/{name}.log", [verified], [fitted], {str(results / pack): digest})


def kept_files(folder: Path) -> Iterator[Path]:
    """Files of a finished fit but for its record."""
    return (p for p in folder.iterdir() if p.name[0] != "." and p.name != "record.json")


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder, as the scripts of the workflow do."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def prepare(folder: Path, fits: int) -> tuple[Plan, dict[str, Signal]]:
    """A project in `folder` with its signals prepared, and nothing fitted."""
    project(folder, fits)
    with inside(folder):
        plan = Plan(config(folder), folder)
        return plan, write_signals(plan, folder / "data/prepared")


def finish(folder: Path) -> None:
    """Finish the scale of a prepared project up to the verdicts of every shard."""
    with inside(folder):
        plan = Plan(config(folder), folder)
        names = dict.fromkeys(fit.signal for fit in plan.all_fits)
        signals = {name: Signal.load(Path(f"data/prepared/{name}.npz")) for name in names}
        for name in names:
            seal(f"logs/prepare/{name}.log", [f"data/prepared/{name}.npz"], [], {})
        originals = Originals(folder / "originals")
        write_records(plan, Path("results") / SCALE, signals, originals)


if __name__ == "__main__":
    what, where, *number = sys.argv[1:]
    # Copies need not outlive a power cut, and some disks take seconds for what we ask ten
    # thousand times.
    os.fsync = lambda _: None
    if what == "prepare":
        prepare(Path(where).resolve(), int(number[0]))
    else:
        finish(Path(where).resolve())
