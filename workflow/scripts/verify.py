"""Decode the saved weights of a shard's fits in this fresh process and compare digests."""

import json
from pathlib import Path

from lossless_inr.errors import UserError
from lossless_inr.fitting.kept import damage
from lossless_inr.fitting.record import Record
from lossless_inr.jobs import job, tell
from lossless_inr.signals import Signal


def run(stamp: list[dict], results: Path) -> list[dict]:
    """One verdict per fit of the shard."""
    # Inside the job, so that Ctrl-C during the seconds that torch takes ends in words as well.
    from lossless_inr.fitting.verify import verify

    verdicts, signals = [], {}
    for fit in stamp:
        folder = results / fit["folder"]
        record = Record.load(folder / "record.json")
        # A machine may have gone, or a disk, between the fit and this.
        changed = record.digest != fit["record_digest"] and f"{folder}/record.json: was changed"
        if why := changed or damage(folder, record):
            raise UserError(f"{why}, since its shard ended; the next run fits it again")
        name = record.spec.signal
        if name not in signals:
            signals[name] = Signal.load(f"data/prepared/{name}.npz")
        verdict = verify(record, signals[name], folder)
        if record.status == "lossless" and not verdict.verified:
            tell(f"NOT verified: {fit['folder']} {verdict.note}")
        verdicts.append(fit | {"verdict": verdict.model_dump()})
    return verdicts


if __name__ == "__main__":
    with job(snakemake):
        stamp = json.loads(Path(snakemake.input[0]).read_text())
        verdicts = run(stamp, Path("results") / snakemake.wildcards.scale)
        Path(snakemake.output[0]).write_text(json.dumps(verdicts, indent=1))
