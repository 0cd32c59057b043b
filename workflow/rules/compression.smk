# Tables 6 and 7, which run when they are named (`compress` in the config): images of a set in one
# file, then codecs and the exact coder side by side; RECOMBINER sends in one rule and decodes in
# another, which has only the files and the shared parts. Settings: config/compression.yaml.
from lossless_inr.compression.images import drawn
from lossless_inr.compression.settings import (
    TABLES as COMPRESSION_TABLES,
    load_settings,
)
from lossless_inr.recombiner import PRIORS


localrules:
    stack,
    compression_table,
    compression_report,


COMPRESSION = f"results/{SCALE}/compression"
# The sets of this run -> their signals; those whose files are not here are left out and named.
STACKS, CODER_ROWS, RECOMBINED, NOT_HERE = {}, {}, {}, []

try:
    COMPRESSED = load_settings().at(SCALE) if CONFIG.compress else None
    if "table6" in CONFIG.compress:
        groups = [*COMPRESSED.shared.items(), *COMPRESSED.sounds.items()]
        for name, group in groups:
            signals = PLAN.named(group.signals)
            optional = getattr(group, "at_hand", False)
            if not signals or (optional and not PLAN.at_hand(signals)):
                NOT_HERE.append(name)
                continue
            STACKS[name] = signals
            CODER_ROWS[name] = ["codecs", *getattr(group, "networks", [])]
        for signal in PLAN.named(COMPRESSED.own.signals) if COMPRESSED.own else []:
            STACKS[signal] = [signal]
            CODER_ROWS[signal] = ["codecs", "own"]
    if "table7" in CONFIG.compress:
        for name, group in COMPRESSED.recombined.items():
            STACKS[f"recombined-{name}"] = drawn(
                PLAN.named(group.signals), group.images
            )
            RECOMBINED[name] = [
                (variant, part)
                for variant in group.variants
                for part in range(group.parts)
            ]
except UserError as problem:
    raise WorkflowError(str(problem)) from None

for one in sum(STACKS.values(), []):
    if PLAN.catalog.find(one)[0].fetched:
        known = FETCHED.setdefault(one.split("/")[0], [])
        known += [one] if one not in known else []


wildcard_constraints:
    stack=one_of(STACKS),
    coder=r"[a-z0-9-]+",
    compressed=one_of(COMPRESSION_TABLES),
    variant=r"[a-z-]+",
    part=r"[0-9]+",


rule stack:
    input:
        lambda wildcards: sorted(
            {s for one in STACKS[wildcards.stack] for s in stamps(one)}
        ),
    output:
        "results/{scale}/compression/{stack}/images.npz",
    log:
        "logs/{scale}/compression/{stack}/stack.log",
    params:
        datasets=CONFIG.datasets,
        mirror=CONFIG.fetch.mirror,
        signals=lambda wildcards: STACKS[wildcards.stack],
    script:
        "../scripts/stack.py"


rule rate_coder:
    input:
        "results/{scale}/compression/{stack}/images.npz",
    output:
        "results/{scale}/compression/{stack}/{coder}.csv",
    log:
        "logs/{scale}/compression/{stack}/{coder}.log",
    resources:
        mem_mb=4000,
    params:
        updates=lambda wildcards: COMPRESSED.own.updates if COMPRESSED.own else 0,
        code=report_digest("rates"),
    script:
        "../scripts/rate_coder.py"


rule recombine:
    input:
        images="results/{scale}/compression/recombined-{group}/images.npz",
        prior=PRIORS / "{variant}.npz",
    output:
        directory("results/{scale}/compression/recombined-{group}/{variant}/{part}"),
    log:
        "logs/{scale}/compression/recombined-{group}/{variant}-{part}.log",
    resources:
        mem_mb=4000,
    params:
        group=lambda wildcards: COMPRESSED.recombined[wildcards.group].model_dump(),
        code=report_digest("recombiner"),
    script:
        "../scripts/recombine.py"


rule decode_recombined:
    input:
        files="results/{scale}/compression/recombined-{group}/{variant}/{part}",
        prior=PRIORS / "{variant}.npz",
    output:
        "results/{scale}/compression/recombined-{group}/{variant}/{part}.parquet",
    log:
        "logs/{scale}/compression/recombined-{group}/{variant}-{part}-decode.log",
    params:
        code=report_digest("recombiner"),
    script:
        "../scripts/decode_recombined.py"


def of_table(wildcards):
    """What a table is made of."""
    if wildcards.compressed == "table6":
        return {
            f"{stack} {coder}": f"{COMPRESSION}/{stack}/{coder}.csv"
            for stack, coders in CODER_ROWS.items()
            for coder in coders
        }
    images = {
        f"{name} images": f"{COMPRESSION}/recombined-{name}/images.npz"
        for name in RECOMBINED
    }
    return images | {
        f"{name} {variant} {part}": f"{COMPRESSION}/recombined-{name}/{variant}/{part}.parquet"
        for name, parts in RECOMBINED.items()
        for variant, part in parts
    }


rule compression_table:
    input:
        lambda wildcards: of_table(wildcards).values(),
    output:
        csv="results/{scale}/compression/{compressed}.csv",
        verdicts="results/{scale}/compression/{compressed}-verdicts.json",
    log:
        "logs/{scale}/compression/{compressed}.log",
    params:
        files=of_table,
        settings=COMPRESSED.model_dump() if COMPRESSED else {},
        left_out=NOT_HERE,
        code=report_digest("rate-tables"),
    script:
        "../scripts/compression_table.py"


rule compression_report:
    input:
        expand("results/{{scale}}/compression/{table}.csv", table=CONFIG.compress),
    output:
        "reports/{scale}/compression.html",
    log:
        "logs/{scale}/compression/report.log",
    params:
        code=report_digest("report"),
    script:
        "../scripts/compression_report.py"
