"""Write a prepared signal as raw samples and JSON, for programs in any language."""

from pathlib import Path

from lossless_inr.baselines.handover import hand_over
from lossless_inr.datasets.prepared import of_workflow
from lossless_inr.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        signal = of_workflow(snakemake.wildcards.signal)
        hand_over(signal, Path(snakemake.output.raw), Path(snakemake.output.facts))
