"""Run one shard of fits in one process; fits that are already finished are skipped."""

import json
import os
import time
from pathlib import Path

import psutil

from lossless_inr.datasets.prepared import of_workflow
from lossless_inr.devices import one_gpu
from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.spec import Config
from lossless_inr.files import sha256_of
from lossless_inr.fitting.kept import finished
from lossless_inr.fitting.record import FitSpec
from lossless_inr.fitting.reuse import take_over
from lossless_inr.jobs import Progress, job, tell
from lossless_inr.schema import validate


def run(
    config: Config, shard_name: str, results: Path, *, threads: int
) -> tuple[list[dict], dict[str, str]]:
    """Fit what is missing or damaged.

    Returns the stamp (folders and digests of the shard's records), and the sha256 of every file
    of its fits.
    """
    # Inside the job, so that Ctrl-C during the seconds that torch takes ends in words as well.
    from lossless_inr.fitting.fit import Resources, groups, run_or_record_failures

    shards = Plan(config).shards()
    shard, sizes = shards[shard_name], {name: len(s.fits) for name, s in shards.items()}
    signals = {name: of_workflow(name) for name in shard.signals}
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
        record, why = finished(results / spec.folder, spec, sha256)
        if record is None and (record := take_over(results, spec, sha256)):
            where = "at another scale"
        if why:
            tell(f"{why}; {'copied' if record else 'fitted'} again")
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
    stamp, kept = [], {}
    for spec in shard.fits:
        record = records[spec.digest]
        # With the record's digest, a fit that ran again changes the stamp: Snakemake compares the
        # content of small files, and would not verify again for a newer date alone.
        facts = {"status": record.status, "record_digest": record.digest}
        stamp.append({"spec_digest": spec.digest, "folder": spec.folder, **facts})
        folder = results / spec.folder
        kept |= {str(folder / name): sha256 for name, sha256 in (record.files or {}).items()}
        kept[str(folder / "record.json")] = sha256_of(folder / "record.json")
    return stamp, kept


def title(spec: FitSpec) -> str:
    """Name of a fit in progress lines."""
    return f"{spec.signal} {spec.method} seed {spec.seed}"


if __name__ == "__main__":
    with job(snakemake) as sealed:
        config = validate(Config, snakemake.config, "config")
        # Before torch is imported, which is in `run`.
        with one_gpu(config.fit.device, config.fit.per_gpu, tell=tell):
            stamp, kept = run(
                config,
                snakemake.wildcards.shard,
                Path("results") / snakemake.wildcards.scale,
                threads=snakemake.threads,
            )
        sealed |= kept
        Path(snakemake.output[0]).write_text(json.dumps(stamp, indent=1))
