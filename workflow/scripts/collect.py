"""Gather every record and verdict of a scale into one table, a row per fit."""

import json
from pathlib import Path

from lossless_inr.experiments.tables import collect
from lossless_inr.fitting import packs
from lossless_inr.fitting.provenance import now, process_began
from lossless_inr.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        verdicts = [v for path in snakemake.input for v in json.loads(Path(path).read_text())]
        results = Path("results") / snakemake.wildcards.scale
        verdicts = packs.located(results, verdicts)
        table = collect(verdicts, results, Path("data/prepared"))
        used = [name for name in table.pack.dropna().unique()]
        for name in ("shard", "started", "ended"):
            of = {pack: packs.times_of(results / pack).get(name) for pack in used}
            table[name if name == "shard" else f"verify_{name}"] = table.pack.map(of)
        times = {"started": process_began(), "ended": now()}
        output = Path(snakemake.output.curves)
        packs.gather(results, used, set(table.spec_digest), output, times)
        table.to_parquet(snakemake.output.fits, index=False)
        packs.sweep(results, used)
