"""Build the report of Tables 6 and 7: one offline HTML file."""

from pathlib import Path

from lossless_inr.jobs import job
from lossless_inr.report.build import build_compression

if __name__ == "__main__":
    with job(snakemake):
        build_compression(
            scale=snakemake.wildcards.scale,
            results=Path("results") / snakemake.wildcards.scale,
            output=Path(snakemake.output[0]),
        )
