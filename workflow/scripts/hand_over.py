"""Write a prepared signal as raw samples and JSON, for programs in any language."""

from pathlib import Path

from lossless_inr.baselines.handover import hand_over
from lossless_inr.jobs import job
from lossless_inr.signals import Signal

if __name__ == "__main__":
    with job(snakemake):
        signal = Signal.load(Path(snakemake.input[0]))
        hand_over(signal, Path(snakemake.output.raw), Path(snakemake.output.facts))
