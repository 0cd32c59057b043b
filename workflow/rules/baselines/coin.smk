# COIN (Dupont et al. 2021): an INR with its own training loop; its code is the weights in half
# precision. Decoded by a second process, which is given the code and the facts only.
rule coin:
    input:
        program="workflow/baselines/coin.py",
        raw="data/prepared/{signal}.raw",
        facts="data/prepared/{signal}.json",
    output:
        directory("results/{scale}/answers/coin/{signal}"),
    log:
        "logs/{scale}/answers/coin/{signal}.log",
    params:
        run=outside(limit=600),
        python=shlex.quote(sys.executable),
        iterations=lambda wildcards: 100 if wildcards.scale == "smoke" else 2000,
    shell:
        "({params.run} encode {params.python} {input.program} encode {input.raw} {input.facts}"
        " {output}/code {params.iterations};"
        " {params.run} decode {params.python} {input.program} decode {output}/code {input.facts}"
        " {output}/reconstruction.raw) 2> {log}"
