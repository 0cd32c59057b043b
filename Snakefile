# Table of contents of the workflow: settings, then one file of rules per stage.
#
#   prepare -> fit (in shards) -> verify -> collect -> table, figure -> report
#   prepare -> outside programs (one file each in workflow/rules/baselines) -> score -> rate
#
# `make quick` calls it through `lossless-inr run`; plain `snakemake` works as well.
from snakemake.utils import min_version

min_version("9.10")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/outside.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/speech.smk"
include: "workflow/rules/expansion.smk"
include: "workflow/rules/compression.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        # Tables 6 and 7 have no fits: alone, they are all there is.
        (
            []
            if CONFIG.compress and not CONFIG.only
            else [f"reports/{SCALE}/report.html", f"results/{SCALE}/checked"]
        ),
        [f"reports/{SCALE}/compression.html"] if CONFIG.compress else [],
