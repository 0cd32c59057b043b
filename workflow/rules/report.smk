# The report: one offline HTML file from tables and figures.
from os.path import exists

from lossless_inr.report.guard_page import FILES


localrules:
    report,
    check,


# What is there of the regression gate's history.
GUARD = [f"benchmarks/{name}" for name in FILES if exists(f"benchmarks/{name}")]


rule report:
    input:
        fits="results/{scale}/fits.parquet",
        tables=expand("results/{{scale}}/tables/{table}.csv", table=TABLES),
        figures=expand("results/{{scale}}/figures/{figure}.svg", figure=FIGURES),
        rate=["results/{scale}/rate.parquet"] if PLAN.baselines else [],
        guard=GUARD,
        speech=["results/{scale}/speech/transcripts.parquet"] if SPEECH else [],
        expansion=["results/{scale}/expansion/scores.parquet"] if EXPANSION else [],
    output:
        "reports/{scale}/report.html",
    log:
        "logs/{scale}/report.log",
    params:
        experiments={n: e.model_dump() for n, e in PLAN.experiments.items()},
        planned=PLAN.planned,
        planned_fits=PLAN.planned_fits,
        code=report_digest("report"),
    script:
        "../scripts/report.py"


# Last of all, so that the report exists even when a fit failed: then this rule fails the run.
rule check:
    input:
        report="reports/{scale}/report.html",
        shards=expand("results/{{scale}}/shards/{shard}.json", shard=SHARDS),
    output:
        "results/{scale}/checked",
    log:
        "logs/{scale}/check.log",
    script:
        "../scripts/check.py"
