"""Ask the fits of Table 5 for the planes they never saw, and score them beside the rules."""

from pathlib import Path

import pandas as pd

from lossless_inr.expansion.scores import score
from lossless_inr.expansion.summary import summary
from lossless_inr.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        fits = pd.read_parquet(snakemake.input.fits)
        chosen = fits[fits.spec_digest.isin(snakemake.params.fits)]
        results = Path("results") / snakemake.wildcards.scale
        table = score(chosen, results, Path("data/prepared"))
        table.to_parquet(snakemake.output.scores, index=False)
        table.to_csv(snakemake.output.csv, index=False)
        summary(table).to_csv(snakemake.output.summary, index=False)
