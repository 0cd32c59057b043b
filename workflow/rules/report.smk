# The report: one offline HTML file from tables and figures.


localrules:
    report,


rule report:
    input:
        fits="results/{scale}/fits.parquet",
        tables=expand("results/{{scale}}/tables/{table}.csv", table=TABLES),
        figures=expand("results/{{scale}}/figures/{figure}.svg", figure=FIGURES),
    output:
        "reports/{scale}/report.html",
    params:
        experiments={n: e.model_dump() for n, e in PLAN.experiments.items()},
        code=report_digest("report"),
    log:
        "logs/{scale}/report.log",
    script:
        "../scripts/report.py"
