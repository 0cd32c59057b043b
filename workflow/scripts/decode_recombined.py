"""Decode files of RECOMBINER from nothing but themselves and the shared parts."""

from pathlib import Path

from lossless_inr.compression.recombined import receive
from lossless_inr.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        found = receive(snakemake.wildcards.variant, Path(snakemake.input.files))
        found.to_parquet(snakemake.output[0], index=False)
