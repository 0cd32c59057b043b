"""Rates of the codecs, or of the exact coder with one network, on one set."""

from pathlib import Path

import pandas as pd

from lossless_inr.codecs import image_rows, sound_rows
from lossless_inr.compression import images, rates
from lossless_inr.files import replacing
from lossless_inr.jobs import job, tell

if __name__ == "__main__":
    with job(snakemake):
        signals, bits = images.load(Path(snakemake.input[0]))
        name = f"{snakemake.wildcards.stack}, {snakemake.wildcards.coder}"
        if snakemake.wildcards.coder == "codecs":
            coders = sound_rows(bits) if signals[0].ndim == 2 else image_rows()
            rows = rates.codec_rows(coders, signals, bits, lambda text: tell(f"{name}: {text}"))
        elif snakemake.wildcards.coder == "own":

            def progress(update, rate):
                if update % 500 == 0:
                    tell(f"{name}: {update} updates, {rate:.3f} bits per pixel")

            rows = rates.own_rows(signals[0], bits, snakemake.params.updates, progress)
        else:
            rows = [rates.shared_row(snakemake.wildcards.coder, signals, bits)]
        with replacing(Path(snakemake.output[0]), "w", encoding="utf-8") as file:
            pd.DataFrame(rows).to_csv(file, index=False)
