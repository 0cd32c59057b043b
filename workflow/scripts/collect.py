"""Gather every record and verdict of a scale into one table, a row per fit."""

import json
from pathlib import Path

from lossless_inr.experiments.tables import collect
from lossless_inr.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        verdicts = [v for path in snakemake.input for v in json.loads(Path(path).read_text())]
        table = collect(
            verdicts, Path("results") / snakemake.wildcards.scale, Path("data/prepared")
        )
        table.to_parquet(snakemake.output[0], index=False)
