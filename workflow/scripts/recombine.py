"""Compress one part of a set with RECOMBINER: a file for each image."""

from pathlib import Path

from lossless_inr.compression import images
from lossless_inr.compression.recombined import send
from lossless_inr.jobs import job, tell

if __name__ == "__main__":
    with job(snakemake):
        wildcards, group = snakemake.wildcards, snakemake.params.group
        found, _ = images.load(Path(snakemake.input.images))
        first = int(wildcards.part) * group["part"]
        chosen = range(first, min(first + group["part"], len(found)))
        title = f"{wildcards.group}, {wildcards.variant}, part {wildcards.part}"
        send(
            wildcards.variant,
            [f"{k:04d}" for k in chosen],
            [found[k] for k in chosen],
            Path(snakemake.output[0]),
            updates=group["updates"],
            tune=group["tune"],
            tell=lambda text: tell(f"{title}: {text}"),
        )
