"""Draw one figure as SVG and PNG, with the data behind it as CSV."""

from pathlib import Path

import pandas as pd

from lossless_inr.experiments.figures import draw
from lossless_inr.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        draw(
            snakemake.params.layout,
            pd.read_parquet(snakemake.input[0]),
            snakemake.params.fits,
            results=Path("results") / snakemake.wildcards.scale,
            prepared=Path("data/prepared"),
            svg=Path(snakemake.output.svg),
            png=Path(snakemake.output.png),
            csv=Path(snakemake.output.csv),
            planned=snakemake.params.planned,
        )
