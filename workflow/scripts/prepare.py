"""Prepare one signal: read its source, check it against the dataset table, cut or resize."""

from pathlib import Path

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.prepare import index_row, write_index
from lossless_inr.datasets.store import Store
from lossless_inr.jobs import job, tell_warnings

if __name__ == "__main__":
    with job(snakemake):
        catalog = Catalog(Path(snakemake.params.datasets))
        signal, target = snakemake.wildcards.signal, Path(snakemake.output[0])
        # The stamp says that the file was fetched; it may have been deleted or damaged since.
        tell_warnings()
        store, entries = Store(catalog, snakemake.params.mirror), [catalog.find(signal)[0]]
        store.set_aside_damaged(entries)
        store.obtain(entries)
        prepared = catalog.prepare(signal)
        prepared.save(target)
        write_index(target.parent, [index_row(catalog, prepared)])
