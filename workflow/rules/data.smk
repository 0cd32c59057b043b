# Files to integers: one prepared signal each. A prepared signal is named set/size/name.


localrules:
    fetch,
    prepare,


rule fetch:
    # One job per set: the archives of a set are read once, and its server meets one client. The
    # stamp names the files; they are checked before they get their names.
    output:
        "data/raw/{dataset}.fetched",
    log:
        "logs/fetch/{dataset}.log",
    params:
        datasets=CONFIG.datasets,
        mirror=CONFIG.fetch.mirror,
        limit=CONFIG.fetch.limit,
        signals=lambda wildcards: FETCHED[wildcards.dataset],
    script:
        "../scripts/fetch.py"


rule prepare:
    input:
        lambda wildcards: stamps(wildcards.signal),
    output:
        "data/prepared/{signal}.npz",
    log:
        "logs/prepare/{signal}.log",
    params:
        datasets=CONFIG.datasets,
        # The row itself, so that an edit of the table prepares only what it touches.
        entry=lambda wildcards: repr(PLAN.catalog.find(wildcards.signal)),
        pin=lambda wildcards: PLAN.catalog.pins.get(wildcards.signal, ""),
        mirror=CONFIG.fetch.mirror,
        code=digests.of_signal_code(),
    script:
        "../scripts/prepare.py"
