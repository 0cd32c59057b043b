# Outside programs: each is a file in rules/baselines, whose rule of the same name writes
# results/{scale}/answers/<name>/{signal}. What they wrote is scored here, by one rule for all.
import shlex


localrules:
    hand_over,
    score,


LAUNCH = f"{shlex.quote(sys.executable)} -m lossless_inr.baselines.launch"


def outside(limit):
    """For `params: run=outside(limit=60)`: starts a step of a program; seconds it may take."""
    return lambda wildcards, output: f"{LAUNCH} {shlex.quote(str(output[0]))} {limit}"


def build(limit):
    """The same for a step that makes the rule's output, e.g. a compiler."""
    return (
        lambda wildcards, output: f"{LAUNCH} --build {shlex.quote(str(output[0]))} {limit}"
    )


def answers(scale):
    """Folders in which the programs of this plan answer."""
    return [
        f"results/{scale}/answers/{name}/{signal}"
        for name, signals in PLAN.baselines.items()
        if name not in FAULTY
        for signal in signals
    ]


# Programs whose file cannot be used, and why: they become failed rows like any other.
FAULTY = {}
for one in PLAN.baselines:
    depth = len(workflow.included_stack)
    try:
        # What `include:` does; as a call, so that it may fail.
        workflow.include(f"baselines/{one}.smk", overwrite_default_target=True)
        if not workflow.is_rule(one):
            FAULTY[one] = f"{one}.smk has no rule named {one}"
        elif "{params.run}" not in (workflow.get_rule(one).shellcmd or ""):
            FAULTY[one] = (
                f"{one}.smk: its shell command must start programs with {{params.run}}"
            )
    except Exception as error:
        del workflow.included_stack[depth:]  # relative includes start from its top
        FAULTY[one] = f"{one}.smk: {type(error).__name__}: {error}"


rule hand_over:
    input:
        "data/prepared/{signal}.npz",
    output:
        raw="data/prepared/{signal}.raw",
        facts="data/prepared/{signal}.json",
    log:
        "logs/hand_over/{signal}.log",
    script:
        "../scripts/hand_over.py"


rule score:
    input:
        answers=answers(SCALE),
        signals=[prepared(s) for s in dict.fromkeys(sum(PLAN.baselines.values(), []))],
        fits="results/{scale}/fits.parquet",
    output:
        scores="results/{scale}/scores.jsonl",
        rate="results/{scale}/rate.parquet",
        csv="results/{scale}/rate.csv",
    log:
        "logs/{scale}/score.log",
    params:
        baselines=PLAN.baselines,
        faulty=FAULTY,
        code=report_digest("rate"),
    script:
        "../scripts/score.py"
