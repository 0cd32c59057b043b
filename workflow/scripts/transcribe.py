"""Transcribe the originals and the reconstructions of Table 9, and count their edits."""

from pathlib import Path

import pandas as pd

from lossless_inr.jobs import job
from lossless_inr.speech.summary import heard_fits, summary
from lossless_inr.speech.transcripts import transcribe

if __name__ == "__main__":
    with job(snakemake):
        fits = pd.read_parquet(snakemake.input.fits)
        chosen = fits[fits.spec_digest.isin(snakemake.params.fits)]
        results = Path("results") / snakemake.wildcards.scale
        table = transcribe(chosen, results, Path("data/prepared"))
        table.to_parquet(snakemake.output.transcripts, index=False)
        table.to_csv(snakemake.output.csv, index=False)
        summary(heard_fits(chosen, table)).to_csv(snakemake.output.summary, index=False)
