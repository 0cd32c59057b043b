"""Score what outside programs wrote, and put their rates beside those of the fits."""

from pathlib import Path

import pandas as pd

from lossless_inr.baselines.rate import rate_table
from lossless_inr.baselines.score import score, unusable
from lossless_inr.datasets.prepared import of_workflow
from lossless_inr.files import replacing
from lossless_inr.jobs import job, tell

if __name__ == "__main__":
    with job(snakemake):
        results = Path("results") / snakemake.wildcards.scale
        scores = []
        for program, signals in snakemake.params.baselines.items():
            for name in signals:
                signal = of_workflow(name)
                if program in snakemake.params.faulty:
                    scores.append(unusable(program, signal, snakemake.params.faulty[program]))
                else:
                    scores += score(results / "answers" / program / name, program, signal)
        for one in scores:
            if one.status == "failed":
                title = " ".join(word for word in (one.program, one.variant) if word)
                tell(f"warning: outside program {title}, {one.signal}: {one.reason}")
        with replacing(Path(snakemake.output.scores), "w", encoding="utf-8") as file:
            file.writelines(one.model_dump_json() + "\n" for one in scores)
        table = rate_table(scores, pd.read_parquet(snakemake.input.fits), results)
        table.to_parquet(snakemake.output.rate, index=False)
        table.to_csv(snakemake.output.csv, index=False)
