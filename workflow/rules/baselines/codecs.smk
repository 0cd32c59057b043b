# Lossless codecs: PNG, WebP, JPEG XL, JPEG-LS, JPEG 2000; FLAC, WavPack, ALAC for sound. One program
# with several methods, each in a folder of its own. It times them itself, as the start of Python
# would hide what they take.
rule codecs:
    input:
        program="workflow/baselines/usual_codecs.py",
        codecs="lossless_inr/codecs/usual.py",
        raw="data/prepared/{signal}.raw",
        facts="data/prepared/{signal}.json",
    output:
        directory("results/{scale}/answers/codecs/{signal}"),
    log:
        "logs/{scale}/answers/codecs/{signal}.log",
    params:
        run=outside(limit=300),
        python=shlex.quote(sys.executable),
    shell:
        "{params.run} run {params.python} {input.program} {input.raw} {input.facts} {output}"
        " 2> {log}"
