"""Decode the saved weights of a shard's fits in this fresh process and compare digests."""

import json
from pathlib import Path

from lossless_inr.datasets.prepared import of_workflow
from lossless_inr.errors import UserError
from lossless_inr.files import appears, replacing, sha256_of
from lossless_inr.fitting import packs
from lossless_inr.fitting.kept import damage
from lossless_inr.fitting.provenance import now, process_began
from lossless_inr.fitting.record import Record
from lossless_inr.jobs import job, tell


def run(stamp: list[dict], results: Path) -> list[dict]:
    """One verdict per fit of the shard."""
    # Inside the job, so that Ctrl-C during the seconds that torch takes ends in words as well.
    from lossless_inr.fitting.verify import verify

    verdicts, signals = [], {}
    for fit in stamp:
        folder = results / fit["folder"]
        appears(folder / "record.json")  # written by a machine that may be another one
        record = Record.load(folder / "record.json")
        # A machine may have gone, or a disk, between the fit and this.
        changed = record.digest != fit["record_digest"] and f"{folder}/record.json: was changed"
        if why := changed or damage(folder, record):
            raise UserError(f"{why}, since its shard ended; the next run fits it again")
        name = record.spec.signal
        if name not in signals:
            signals[name] = of_workflow(name)
        verdict = verify(record, signals[name], folder)
        if record.status == "lossless" and not verdict.verified:
            tell(f"NOT verified: {fit['folder']} {verdict.note}")
        verdicts.append(fit | {"verdict": verdict.model_dump()})
    return verdicts


if __name__ == "__main__":
    with job(snakemake) as sealed:
        stamp = json.loads(Path(snakemake.input[0]).read_text())
        results = Path("results") / snakemake.wildcards.scale
        verdicts = run(stamp, results)
        times = {"started": process_began(), "ended": now()}
        pack = packs.write(results, snakemake.wildcards.shard, stamp, times)
        with replacing(snakemake.output[0], "w", encoding="utf-8") as file:
            json.dump([verdict | {"pack": pack} for verdict in verdicts], file, indent=1)
        # Only now: a kill before this line loses nothing, one after it leaves the pack.
        packs.clear(results, stamp)
        sealed[str(results / pack)] = sha256_of(results / pack)
