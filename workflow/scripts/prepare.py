"""Prepare one signal: read its source, check it against the dataset table, cut or resize."""

from pathlib import Path

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.jobs import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        catalog = Catalog(Path(snakemake.params.datasets))
        catalog.prepare(snakemake.wildcards.signal).save(Path(snakemake.output[0]))
