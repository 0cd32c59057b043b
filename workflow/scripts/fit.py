"""Run one shard of fits in one process; fits that are already finished are skipped."""

import json
import os
import time
from pathlib import Path

from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.spec import Config
from lossless_inr.fitting.record import Record
from lossless_inr.jobs import Progress, job
from lossless_inr.schema import validate
from lossless_inr.signals import Signal


def run(config: Config, shard_name: str, results: Path, *, threads: int) -> list[dict]:
    """Fit what is missing; return the stamp (folders and digests of the shard's records)."""
    start = time.perf_counter()
    # Inside the job, so that Ctrl-C during the seconds that torch takes ends in words as well.
    from lossless_inr.fitting.fit import Resources, run_or_record_failure

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
        startup=time.perf_counter() - start,
    )
    stamp = []
    for spec in shard.fits:
        folder, signal = results / spec.folder, signals[spec.signal]
        progress.begin(
            f"{spec.signal} {spec.method} seed {spec.seed}",
            signal.samples.size * spec.bits,
            spec.iterations,
        )
        record = Record.load_if_current(folder, spec, signal.sha256)
        if record is None:
            record = run_or_record_failure(
                spec,
                signal,
                folder,
                resources,
                progress,
            )
            seconds = f", {record.timing.fit:.1f} s" if record.timing else f": {record.error}"
            progress.end(f"{record.status} after {record.iterations} iterations{seconds}")
        else:
            progress.end(f"{record.status} (finished before)")
        stamp.append({"spec_digest": spec.digest, "folder": spec.folder, "status": record.status})
    return stamp


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
