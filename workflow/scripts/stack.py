"""Put the signals of one set into one file, for the coders that work on all of them."""

from pathlib import Path

from lossless_inr.compression import images
from lossless_inr.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        params = snakemake.params
        found, bits = images.read(Path(params.datasets), params.mirror, params.signals)
        images.save(Path(snakemake.output[0]), found, bits)
