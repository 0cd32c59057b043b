# What a speech recogniser makes of the sounds of Table 9 and of their reconstructions.
SPEECH = "table9" in PLAN.experiments


rule transcribe:
    input:
        fits="results/{scale}/fits.parquet",
        signals=(
            [prepared(s) for s in dict.fromkeys(f.signal for f in PLAN.fits["table9"])]
            if SPEECH
            else []
        ),
    output:
        transcripts="results/{scale}/speech/transcripts.parquet",
        csv="results/{scale}/speech/transcripts.csv",
        summary="results/{scale}/speech/table9.csv",
    log:
        "logs/{scale}/speech.log",
    params:
        fits=[spec.digest for spec in PLAN.fits["table9"]] if SPEECH else [],
        code=report_digest("speech"),
    script:
        "../scripts/transcribe.py"
