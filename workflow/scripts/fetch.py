"""Fetch the files of one data set that the plan needs; they may be in a mirror or here already."""

import json
from pathlib import Path

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.checks import sha256_of
from lossless_inr.datasets.store import Store
from lossless_inr.jobs import job, tell_warnings

if __name__ == "__main__":
    with job(snakemake):
        tell_warnings()  # terms, faults of a mirror, trust on first use
        catalog = Catalog(Path(snakemake.params.datasets))
        entries = [catalog.find(signal)[0] for signal in snakemake.params.signals]
        store = Store(catalog, snakemake.params.mirror, snakemake.params.limit)
        store.set_aside_damaged(entries)
        store.obtain(entries)
        paths = sorted({catalog.source_path(entry) for entry in entries})
        stamp = {str(path): sha256_of(path) for path in paths}
        Path(snakemake.output[0]).write_text(json.dumps(stamp, indent=1) + "\n")
