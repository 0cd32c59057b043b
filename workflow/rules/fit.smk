# Fits run in shards: one process imports torch once and runs its fits one after another. The
# declared output is only the shard's stamp; each fit's own files lie in a folder that Snakemake
# does not delete, so what a killed shard had finished is kept and skipped by the rerun.


rule fit:
    input:
        lambda wildcards: [prepared(s) for s in SHARDS[wildcards.shard].signals],
    output:
        "results/{scale}/shards/{shard}.json",
    log:
        "logs/{scale}/fit/{shard}.log",
    threads: CONFIG.fit.threads
    resources:
        gpu=1,
    params:
        fits=lambda wildcards: SHARDS[wildcards.shard].digest,
    script:
        "../scripts/fit.py"


rule verify:
    input:
        "results/{scale}/shards/{shard}.json",
    output:
        "results/{scale}/verified/{shard}.json",
    log:
        "logs/{scale}/verify/{shard}.log",
    script:
        "../scripts/verify.py"
