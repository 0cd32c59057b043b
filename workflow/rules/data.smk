# Files to integers: one prepared signal each. A prepared signal is named set/size/name.


localrules:
    prepare,


rule prepare:
    output:
        "data/prepared/{signal}.npz",
    log:
        "logs/prepare/{signal}.log",
    params:
        datasets=CONFIG.datasets,
        # The row itself, so that an edit of the table prepares only what it touches.
        entry=lambda wildcards: repr(PLAN.catalog.find(wildcards.signal)),
        code=digests.of_signal_code(),
    script:
        "../scripts/prepare.py"
