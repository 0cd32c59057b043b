"""Prepare one signal: read its source, check it against the dataset table, cut or resize."""

from pathlib import Path

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.prepare import index_row, write_index
from lossless_inr.datasets.store import Store
from lossless_inr.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        catalog = Catalog(Path(snakemake.params.datasets))
        signal, target = snakemake.wildcards.signal, Path(snakemake.output[0])
        # The stamp says that the file was fetched; it may have been deleted since.
        Store(catalog, snakemake.params.mirror).obtain([catalog.find(signal)[0]])
        prepared = catalog.prepare(signal)
        prepared.save(target)
        write_index(target.parent, [index_row(catalog, prepared)])
