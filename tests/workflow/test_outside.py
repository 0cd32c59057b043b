"""Outside programs through the real workflow: the guide's own, ours, and broken ones."""

import os
import re

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from harness import ROOT, SMOKE, Project
from test_faults import HEADER, photograph, row

EXPERIMENT = """\
title: one
layout: table
scales:
  smoke:
    baselines: all
    shape: {hidden_layers: 1, width: 16}
    signals: [mine/8x8/good]
    fits:
      - {signals: all, network: siren, representation: bithead, recipe: fast, iterations: 300}
"""
RULE = """\
rule NAME:
    input:
        raw="data/prepared/{signal}.raw",
    output:
        directory("results/{scale}/answers/NAME/{signal}"),
    params:
        run=outside(limit=LIMIT),
    shell:
        "{params.run} encode sh -c 'SCRIPT'"
"""
# Name -> what the program does, and why its row must say that it failed.
BROKEN = {
    "crash": ("echo out of luck >&2; exit 7", "encode: exit code 7: out of luck"),
    "late": ("sleep 100", "encode: stopped after its time limit of 1 s"),
    "silent": ("true", "wrote no reconstruction"),
    "short": ("echo 1 > {output}/reconstruction.raw", "has 2 bytes, not 192"),
    "liar": (
        "cp {input.raw} {output}/reconstruction.raw; cp {input.raw} {output}/code;"
        " echo {{\\\\\\\"code_bytes\\\\\\\": 3}} > {output}/claims.json",
        "claims a code of 3 bytes, but its file has 192",
    ),
}  # fmt: skip


def block(language: str) -> str:
    """A code block of the guide."""
    text = (ROOT / "docs/add_a_baseline.md").read_text(encoding="utf-8")
    outside = text[text.index("## An outside program") :]
    return re.search(rf"```{language}\n(.*?)```", outside, re.DOTALL)[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("run") / "it's a {project}")
    guide = block("snakemake")
    path = re.match(r"# (\S+)\n", guide)[1]
    project.write(path, guide)
    folder = "workflow/rules/baselines"
    for name, (script, _) in BROKEN.items():
        text = RULE.replace("NAME", name).replace("SCRIPT", script)
        project.write(
            f"{folder}/{name}.smk", text.replace("LIMIT", "1" if name == "late" else "60")
        )
    project.write(f"{folder}/typo.smk", "rule typo:\n    input\n        nothing\n")
    project.write(f"{folder}/nameless.smk", "# a file without a rule\n")
    project.write(f"{folder}/bare.smk", RULE.replace("NAME", "bare").replace("{params.run}", ""))
    project.replace(f"{folder}/bare.smk", "LIMIT", "60")
    project.replace(f"{folder}/med_rice.smk", "run} cc", "run} no-such-compiler")
    photograph(project.folder / "mine/good.png")
    project.write("mine/datasets.tsv", HEADER + row("good", "mine/good.png"))
    project.write("mine/experiments/one.yaml", EXPERIMENT)
    project.write(
        "mine/config.yaml", SMOKE + "datasets: mine/datasets.tsv\nexperiments: mine/experiments\n"
    )
    project.code, project.output = project.run(configfile="mine/config.yaml")
    return project


def table(project) -> pd.DataFrame:
    return pd.read_parquet(project.folder / "results/smoke/rate.parquet")


def test_the_run_ends_well_and_tells_of_each_broken_program(finished):
    assert finished.code == 0, finished.output
    assert "Traceback" not in finished.output
    for name, (_, reason) in BROKEN.items():
        begin = f"warning: outside program {name}, mine/8x8/good: "
        (line,) = [one for one in finished.output.splitlines() if one.startswith(begin)]
        assert reason in line


def test_the_guides_program_is_lossless_and_its_rate_is_that_of_its_file(finished):
    gzip = table(finished).set_index("program").loc["gzip"]
    code = finished.folder / "results/smoke/answers/gzip/mine/8x8/good/code"
    assert gzip.status == "lossless" and gzip.seconds_by == "suite"
    assert gzip.bits_per_sample == 8 * code.stat().st_size / 192
    assert gzip.encode_seconds > 0 and gzip.decode_seconds > 0
    command = block("sh").splitlines()[-1]
    assert command.startswith("grep gzip ")
    assert "gzip" in (finished.folder / command.split()[-1]).read_text()


def test_broken_programs_are_failed_rows_with_their_reasons(finished):
    rows = table(finished).set_index("program")
    reasons = {name: reason for name, (_, reason) in BROKEN.items()} | {
        "typo": "typo.smk: SyntaxError",
        "nameless": "has no rule named nameless",
        "bare": "must start programs with {params.run}",
        "med_rice": "not built: cannot be started: no-such-compiler",
    }
    for name, reason in reasons.items():
        assert rows.loc[name].status == "failed", name
        assert reason in rows.loc[name].reason


def test_programs_that_work_and_fits_stand_beside_them(finished):
    rows = table(finished)
    codecs = rows[rows.program == "codecs"]
    assert set(codecs.variant) == {"PNG", "WebP", "JPEG XL", "JPEG-LS", "JPEG 2000"}
    assert (codecs.status == "lossless").all() and (codecs.seconds_by == "program").all()
    coin = rows[rows.program == "coin"].iloc[0]
    assert coin.status == "lossy" and 0 < coin.ber < 0.5
    (fit,) = rows[rows.source == "fit"].itertuples()
    assert fit.status == "lossless"
    weights = finished.folder / "results/smoke/records"
    (saved,) = weights.rglob("weights.safetensors")
    assert fit.bits_per_sample < 8 * saved.stat().st_size / 192
    assert fit.bits_per_sample_zstd > 0


def test_the_report_shows_rates_and_reasons(finished):
    html = (finished.folder / "reports/smoke/report.html").read_text(encoding="utf-8")
    page = BeautifulSoup(html, "html.parser").find(id="rate")
    rows = [[cell.get_text(" ", strip=True) for cell in tr.find_all("td")] for tr in page("tr")]
    shown = {cells[0]: cells for cells in rows if cells}
    rates = table(finished).set_index("variant")
    assert shown["PNG (codecs)"][4] == f"{rates.loc['PNG'].bits_per_sample:.2f}"
    assert shown["PNG (codecs)"][3] == "1 of 1"
    assert shown["SIREN + bit head, fast"][1] == "INR of this suite"
    failures = page.find("table", {"data-name": "rate-failures"}).get_text(" ")
    for name, (_, reason) in BROKEN.items():
        assert name in failures and reason in failures


def test_damaged_answers_are_made_again_and_scored_again(finished):
    columns = ["program", "variant", "status", "bits_per_sample", "ber", "reason"]
    before = table(finished)[columns]
    answers = finished.folder / "results/smoke/answers"
    code, output = finished.run(configfile="mine/config.yaml")
    assert code == 0 and "Nothing to be done" in output and "damaged: " not in output, output
    os.truncate(answers / "gzip/mine/8x8/good/code", 20)  # a better rate than it has
    os.truncate(answers / "coin/mine/8x8/good/run.json", 1)
    os.truncate(finished.folder / "data/prepared/mine/8x8/good.raw", 100)
    os.truncate(finished.folder / "results/.seals/hand_over/mine/8x8/good.json", 9)
    code, output = finished.run(configfile="mine/config.yaml")
    assert code == 0, output
    for name in ("gzip/mine/8x8/good", "coin/mine/8x8/good"):
        assert f"damaged: results/smoke/answers/{name}: has " in output, output
    pd.testing.assert_frame_equal(table(finished)[columns], before)


def test_an_unknown_program_is_one_line_before_any_job(finished):
    finished.replace("mine/experiments/one.yaml", "baselines: all", "baselines: [gzipp]")
    code, output = finished.run(configfile="mine/config.yaml")
    finished.replace("mine/experiments/one.yaml", "baselines: [gzipp]", "baselines: all")
    assert code != 0 and "did you mean 'gzip'" in output
    assert len(output.strip().splitlines()) == 1, output
