# Bit-depth expansion (Table 5): the fits of top bits are asked for the planes below them.
from lossless_inr.expansion.targets import check_fits

EXPANSION = "table5" in PLAN.experiments
EXPANDED = PLAN.fits["table5"] if EXPANSION else []

try:
    check_fits(EXPANDED, lambda name: PLAN.catalog.find(name)[0].bits)
except UserError as problem:
    raise WorkflowError(str(problem)) from None


rule expand:
    input:
        fits="results/{scale}/fits.parquet",
        signals=[
            prepared(s) for s in dict.fromkeys(whole_name(f.signal) for f in EXPANDED)
        ],
    output:
        scores="results/{scale}/expansion/scores.parquet",
        csv="results/{scale}/expansion/scores.csv",
        summary="results/{scale}/expansion/table5.csv",
    log:
        "logs/{scale}/expansion.log",
    params:
        fits=[spec.digest for spec in EXPANDED],
        code=report_digest("expansion"),
    script:
        "../scripts/expand.py"
