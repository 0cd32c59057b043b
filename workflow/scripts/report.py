"""Build the report: one offline HTML file."""

from pathlib import Path

from lossless_inr.jobs import job
from lossless_inr.report.build import build

if __name__ == "__main__":
    with job(snakemake):
        build(
            scale=snakemake.wildcards.scale,
            experiments=snakemake.params.experiments,
            results=Path("results") / snakemake.wildcards.scale,
            prepared=Path("data/prepared"),
            output=Path(snakemake.output[0]),
            planned=snakemake.params.planned,
            planned_fits=snakemake.params.planned_fits,
        )
