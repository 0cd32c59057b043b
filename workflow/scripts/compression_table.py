"""Lay out Table 6 or 7: measured rows beside the printed ones, and verdicts."""

import json
from pathlib import Path

from lossless_inr.compression import gather
from lossless_inr.files import replacing
from lossless_inr.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        make = {"table6": gather.table6, "table7": gather.table7}[snakemake.wildcards.compressed]
        files = {name: Path(path) for name, path in snakemake.params.files.items()}
        table, verdicts = make(files, snakemake.params.settings)
        with replacing(Path(snakemake.output.csv), "w", encoding="utf-8") as file:
            table.to_csv(file, index=False)
        content = {"verdicts": verdicts, "left_out": snakemake.params.left_out}
        with replacing(Path(snakemake.output.verdicts), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
