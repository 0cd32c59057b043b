"""Run one shard of fits in one process; fits that are already finished are skipped."""

import json
import os
import time
from pathlib import Path

import psutil

from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.spec import Config
from lossless_inr.fitting import digests
from lossless_inr.fitting.record import FitSpec, Record
from lossless_inr.fitting.reuse import take_over
from lossless_inr.jobs import Progress, job
from lossless_inr.schema import validate
from lossless_inr.signals import Signal


def run(config: Config, shard_name: str, results: Path, *, threads: int) -> list[dict]:
    """Fit what is missing; return the stamp (folders and digests of the shard's records)."""
    # Inside the job, so that Ctrl-C during the seconds that torch takes ends in words as well.
    from lossless_inr.fitting.fit import Resources, groups, run_or_record_failures

    shards = Plan(config).shards()
    shard, sizes = shards[shard_name], {name: len(s.fits) for name, s in shards.items()}
    signals = {name: Signal.load(f"data/prepared/{name}.npz") for name in shard.signals}
    progress = Progress(results / "progress", shard_name, sizes)
    rows = config.fit.slice_rows
    resources = Resources(
        device=config.fit.device,
        threads=threads,
        # Only a fit that has every core to itself surely had no neighbour.
        exclusive=threads >= os.cpu_count(),
        slice_rows=None if rows == "auto" else rows,
        compiled=config.fit.compiled,
        startup=time.time() - psutil.Process().create_time(),
    )
    records = {}
    for spec in shard.fits:
        sha256, where = signals[spec.signal].sha256, "before"
        record = Record.load_if_current(results / spec.folder, spec, sha256)
        if record is None and (record := take_over(results, spec, sha256)):
            where = "at another scale"
        if record is not None:
            records[spec.digest] = record
            progress.begin(title(spec), 0, 0)
            progress.end(f"{record.status} (finished {where})")
    missing = [spec for spec in shard.fits if spec.digest not in records]
    batch = None if config.fit.batch == "auto" else config.fit.batch
    for group in groups(missing, config.fit.device, batch):
        chosen = [signals[spec.signal] for spec in group]
        progress.begin(
            title(group[0]) + (f" and {len(group) - 1} more" if len(group) > 1 else ""),
            sum(signal.samples.size * signal.bits for signal in chosen),
            group[0].iterations,
        )
        folders = [results / spec.folder for spec in group]
        found = run_or_record_failures(group, chosen, folders, resources, progress)
        for spec, record in zip(group, found, strict=True):
            records[spec.digest] = record
            seconds = f", {record.timing.fit:.1f} s" if record.timing else f": {record.error}"
            progress.title = title(spec)
            progress.end(f"{record.status} after {record.iterations} iterations{seconds}")
    stamp = []
    for spec in shard.fits:
        record = records[spec.digest]
        # With the record's digest, a fit that ran again changes the stamp: Snakemake compares the
        # content of small files, and would not verify again for a newer date alone.
        digest = digests.of_json(record.model_dump())
        facts = {"status": record.status, "record_digest": digest}
        stamp.append({"spec_digest": spec.digest, "folder": spec.folder, **facts})
    return stamp


def title(spec: FitSpec) -> str:
    """Name of a fit in progress lines."""
    return f"{spec.signal} {spec.method} seed {spec.seed}"


if __name__ == "__main__":
    with job(snakemake.log[0]):
        config = validate(Config, snakemake.config, "config")
        stamp = run(
            config,
            snakemake.wildcards.shard,
            Path("results") / snakemake.wildcards.scale,
            threads=snakemake.threads,
        )
        Path(snakemake.output[0]).write_text(json.dumps(stamp, indent=1))
