# Records to tables and figures: pure functions of files, no torch.


localrules:
    collect,
    table,
    figure,


rule collect:
    input:
        expand("results/{{scale}}/verified/{shard}.json", shard=SHARDS),
    output:
        fits="results/{scale}/fits.parquet",
        # Of every curve what the report reads: see lossless_inr/fitting/packs.py.
        curves="results/{scale}/curves.parquet",
    log:
        "logs/{scale}/collect.log",
    params:
        code=report_digest("collect"),
    script:
        "../scripts/collect.py"


rule table:
    input:
        "results/{scale}/fits.parquet",
    output:
        csv="results/{scale}/tables/{table}.csv",
        parquet="results/{scale}/tables/{table}.parquet",
        summary="results/{scale}/tables/{table}-summary.csv",
    log:
        "logs/{scale}/table/{table}.log",
    params:
        fits=lambda wildcards: [spec.digest for spec in PLAN.fits[wildcards.table]],
        cells=lambda wildcards: PLAN.cells.get(wildcards.table, {}),
        sets=lambda wildcards: PLAN.sets[wildcards.table],
        code=report_digest("tables"),
    script:
        "../scripts/table.py"


rule figure:
    input:
        "results/{scale}/fits.parquet",
    output:
        svg="results/{scale}/figures/{figure}.svg",
        png="results/{scale}/figures/{figure}.png",
        csv="results/{scale}/figures/{figure}.csv",
    log:
        "logs/{scale}/figure/{figure}.log",
    params:
        layout=lambda wildcards: PLAN.experiments[wildcards.figure].layout,
        fits=lambda wildcards: [spec.digest for spec in PLAN.fits[wildcards.figure]],
        planned=lambda wildcards: PLAN.planned[wildcards.figure],
        code=report_digest("figures"),
    script:
        "../scripts/figure.py"
