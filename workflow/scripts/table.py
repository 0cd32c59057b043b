"""Lay out one table: a row per fit (CSV and parquet), and a summary per method and kind."""

import pandas as pd

from lossless_inr.experiments.tables import fits_table, summary_table
from lossless_inr.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        fits = pd.read_parquet(snakemake.input[0])
        params = snakemake.params
        table = fits_table(fits, params.fits, params.cells, params.sets)
        table.to_csv(snakemake.output.csv, index=False)
        table.to_parquet(snakemake.output.parquet, index=False)
        summary_table(table).to_csv(snakemake.output.summary, index=False)
