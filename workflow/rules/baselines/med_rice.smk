# Median edge detection (the predictor of JPEG-LS) and Rice codes, in C. Compiled once; where there
# is no compiler, its rows say so.
rule med_rice_build:
    input:
        "workflow/baselines/med_rice.c",
    output:
        "results/programs/med_rice",
    log:
        "logs/programs/med_rice.log",
    params:
        run=build(limit=60),
    shell:
        "{params.run} cc -std=c99 -O2 -o {output} {input} 2> {log}"


rule med_rice:
    input:
        program="results/programs/med_rice",
        raw="data/prepared/{signal}.raw",
        facts="data/prepared/{signal}.json",
    output:
        directory("results/{scale}/answers/med_rice/{signal}"),
    log:
        "logs/{scale}/answers/med_rice/{signal}.log",
    params:
        run=outside(limit=60),
    shell:
        "({params.run} encode {input.program} encode {input.raw} {input.facts} {output}/code;"
        " {params.run} decode {input.program} decode {output}/code {output}/reconstruction.raw)"
        " 2> {log}"
