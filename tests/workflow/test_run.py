"""The whole workflow on tiny signals, once, and what must hold of its results.

The folder's name has blanks, a quote and braces, because users' folders do.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from harness import ROOT, Project

from lossless_inr.experiments.reference import read
from lossless_inr.experiments.tables import FIRST_COLUMNS

NASTY = "it's a {project} & more"
TITLE = 'Astronaut </script><script>alert(1)</script> {{ 7 * 7 }} "quoted"'


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("run") / NASTY)
    project.replace("config/datasets.tsv", "\tAstronaut\t", f"\t{TITLE}\t")
    code, output = project.run()
    assert code == 0, output
    project.output = output
    return project


def test_ends_with_the_path_of_the_report(finished):
    assert finished.output.rstrip().endswith("Report: reports/smoke/report.html")
    assert "Traceback" not in finished.output


def test_progress_counts_all_fits(finished):
    total = len(finished.records())
    assert f"[{total}/{total} fits]" in finished.output


def test_table_has_a_row_per_fit_and_the_promised_columns(finished):
    folder = finished.folder / "results/smoke/tables"
    table = pd.read_parquet(folder / "table1.parquet")
    assert list(table.columns[: len(FIRST_COLUMNS)]) == FIRST_COLUMNS
    fits = pd.read_parquet(finished.folder / "results/smoke/fits.parquet")
    assert len(fits) == len(finished.records())
    # The rest is the figure's of float32 sounds, which has no table.
    rest = fits[~fits.spec_digest.isin(table.spec_digest)]
    assert len(table) + len(rest) == len(fits)
    assert list(rest.signal) == ["chime/16/warning_float32"] * 3
    text = pd.read_csv(folder / "table1.csv")
    assert list(text.columns) == list(table.columns)
    assert len(text) == len(table)
    np.testing.assert_allclose(text.rmse, table.rmse)


def test_lossless_fits_are_verified_and_only_those(finished):
    table = pd.read_parquet(finished.folder / "results/smoke/tables/table1.parquet")
    heads = table[table.representation == "bithead"]
    assert (heads.status == "lossless").all()
    assert set(heads.kind) == {"photo", "scan", "audio"}
    lossless = table[table.status == "lossless"]
    assert lossless.verified.all()
    assert (
        (lossless.ber == 0).all() and np.isinf(lossless.psnr).all() and (lossless.rmse == 0).all()
    )
    assert table[table.status != "lossless"].verified.isna().all()
    assert (table[table.status != "lossless"].ber > 0).all()
    # Saved weights decode to what the fit saw at its end, lossless or not.
    assert table.reproduced.all()


def test_ssim_is_null_for_audio_and_one_when_lossless(finished):
    table = pd.read_parquet(finished.folder / "results/smoke/tables/table1.parquet")
    assert table[table.kind == "audio"].ssim.isna().all()
    photo = table[(table.kind == "photo") & (table.status == "lossless")]
    assert (photo.ssim == 1).all()


def test_figures_exist_as_svg_png_and_csv(finished):
    for name in ("figure3", "figure6", "errors", "profile"):
        for suffix in ("svg", "png", "csv"):
            file = finished.folder / f"results/smoke/figures/{name}.{suffix}"
            assert file.stat().st_size > 100, file


def test_report_is_one_offline_file_whose_only_script_is_its_own(finished):
    file = finished.folder / "reports/smoke/report.html"
    assert file.stat().st_size < 10_000_000
    page = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
    assert len(page.find_all("script")) == 1 and not page.script.attrs
    assert not page.find_all(["iframe", "link", "object", "embed"])
    for tag in page.find_all(src=True):
        assert tag["src"].startswith("data:image/")
    for tag in page.find_all(href=True):
        assert tag["href"].startswith("#") and page.find(id=tag["href"][1:]), tag["href"]
    assert page.find("meta", attrs={"name": "viewport"})


def test_report_says_of_no_fit_that_it_is_missing(finished):
    text = (finished.folder / "reports/smoke/report.html").read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    assert not page.select(".notice")
    assert not page.select("section.page tr.soft")  # rows that are planned but not run


def test_report_escapes_all_text(finished):
    text = (finished.folder / "reports/smoke/report.html").read_text(encoding="utf-8")
    assert text.count("<script") == 1
    assert "&lt;/script&gt;" in text
    assert "{{ 7 * 7 }}" in text  # shown as written, not evaluated


def test_report_shows_every_fit_with_the_command_that_reruns_it(finished):
    text = (finished.folder / "reports/smoke/report.html").read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    commands = [tag.text for tag in page.select("details pre")]
    assert len(commands) == len(finished.records())
    words = next(c for c in commands if "siren-bithead" in c and "astronaut" in c).split()
    before = json.loads((finished.folder / words[-1]).read_text())
    done = finished.python("-m", "lossless_inr.cli", *words[1:], "-o", "again")
    assert done.returncode == 0, done.stderr
    after = json.loads((finished.folder / "again/record.json").read_text())
    assert after["status"] == "lossless"
    assert after["spec_digest"] == before["spec_digest"]
    assert after["iterations"] == before["iterations"]


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_report_opens_in_a_browser_without_errors_or_requests(finished, tmp_path):
    report = finished.folder / "reports/smoke/report.html"
    netlog = tmp_path / "net.json"
    done = subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-quic", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            f"--log-net-log={netlog}", "--dump-dom", report.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    assert "Every fit" in done.stdout
    # A page's own requests would carry its address as initiator; file: pages start none.
    requested = set(re.findall(r'"url":"(https?://[^"]+)"', netlog.read_text()))
    assert not {url for url in requested if "google" not in url and "gvt1" not in url}


def test_second_run_has_nothing_to_do(finished):
    before = finished.records()
    code, output = finished.run()
    assert code == 0
    assert "Nothing to be done" in output
    assert finished.records() == before


def test_notes_of_snakemake_are_spread_over_folders(finished):
    notes = finished.folder / ".snakemake/metadata"
    assert not [path.name for path in notes.iterdir() if path.is_file()]
    # One per declared output, or a changed setting would go unnoticed.
    made = {json.loads(path.read_text())["rule"] for path in notes.glob("*/*")}
    assert {"prepare", "fit", "verify", "collect", "report"} <= made
    shards = len(list((finished.folder / "results/smoke/shards").iterdir()))
    assert len(list(notes.glob("*/*"))) >= 2 * shards


def test_a_note_of_before_they_were_spread_is_found_and_kept(finished):
    notes = finished.folder / ".snakemake/metadata"
    old = next(
        path for path in notes.glob("*/*") if json.loads(path.read_text())["rule"] == "verify"
    )
    flat = notes / old.name
    note = json.loads(old.read_text())
    flat.write_text(json.dumps(note | {"params": ["'of another plan'"]}))
    old.unlink()
    try:
        code, output = finished.run("-n")
        assert code == 0 and "verify" in _planned_rules(output), output
        flat.write_text(json.dumps(note))
        code, output = finished.run("-n")
        assert code == 0 and "Nothing to be done" in output, output
    finally:
        flat.unlink()
        old.write_text(json.dumps(note))


def test_plain_snakemake_plans_without_importing_torch(finished):
    probe = (
        "import runpy, sys\n"
        "sys.argv = ['snakemake', '-n', '--configfile', 'config/smoke.yaml']\n"
        "try:\n    runpy.run_module('snakemake', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules\n"
        "print('no torch')\n"
    )
    done = finished.python("-c", probe)
    assert "no torch" in done.stdout, done.stdout + done.stderr


def _planned_rules(output: str) -> dict[str, int]:
    return {m[0]: int(m[1]) for m in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}


def test_editing_the_report_reruns_no_fit(finished):
    template = "lossless_inr/report/templates/page_reading.html.j2"
    finished.replace(template, "How to read this page", "How to read this very page")
    try:
        code, output = finished.run("-n")
        assert code == 0
        assert set(_planned_rules(output)) == {"report", "check", "all", "total"}
    finally:
        finished.replace(template, "How to read this very page", "How to read this page")


def test_records_name_no_user_host_or_absolute_path(finished):
    import getpass
    import socket

    for path in finished.records():
        text = (finished.folder / path).read_text()
        assert str(finished.folder) not in text
        assert (
            socket.gethostname() not in text.replace("hostname", "")
            or len(socket.gethostname()) < 4
        )
        assert f'"{getpass.getuser()}"' not in text
        assert not re.search(r'"/(home|root|tmp|Users)/', text)


def test_snakemake_by_hand_gives_one_clear_line_for_a_bad_scale(finished):
    done = finished.python("-m", "snakemake", "-n", "--config", "scale=quik")
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert any("scale" in line and "'quik'" in line for line in output.splitlines())
    assert "Traceback" not in output


def test_python_of_the_tests_is_the_one_that_ran(finished):
    record = json.loads((finished.folder / next(iter(finished.records()))).read_text())
    version = ".".join(map(str, sys.version_info[:3]))
    assert record["provenance"]["machine"]["python"] == version


def test_a_finished_scale_is_kept_without_weights_and_again_with_the_same_bytes(finished):
    command = ("-m", "lossless_inr.cli", "keep", "--scale", "smoke")
    folder = finished.folder / "results/reference/smoke"
    done = finished.python(*command)
    assert done.returncode == 0, done.stderr
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {path.suffix for path in kept} == {".jsonl", ".csv"}
    entries = read(folder / "records.jsonl")
    assert len(entries) == len(finished.records())
    assert str(len(entries)) in done.stdout
    tables = (finished.folder / "results/smoke/tables").glob("*-summary.csv")
    assert {p.name.replace("-summary", "") for p in tables} == {
        p.name for p in folder.glob("tables/*")
    }
    assert finished.python(*command).returncode == 0
    assert kept == {path: path.read_bytes() for path in kept}


def test_an_archive_gives_the_same_report_elsewhere_without_torch(finished, tmp_path):
    archive, page = tmp_path / "smoke.zip", tmp_path / "elsewhere/report.html"
    command = ("-m", "lossless_inr.cli", "export", "--configfile", "config/smoke.yaml")
    done = finished.python(*command, "--scale", "smoke", "-o", str(archive))
    assert done.returncode == 0, done.stderr
    assert "holds samples of " in done.stdout and "public domain (NASA)" in done.stdout
    code = (
        "import sys; from pathlib import Path; from lossless_inr.sharing.archive import "
        f"report_from; report_from(Path({str(archive)!r}), Path({str(page)!r})); "
        "assert 'torch' not in sys.modules"
    )
    done = finished.python("-c", code)
    assert done.returncode == 0, done.stderr
    assert page.read_bytes() == (finished.folder / "reports/smoke/report.html").read_bytes()

    joined = tmp_path / "joined"
    sources = (str(archive), "results/smoke")
    done = finished.python("-m", "lossless_inr.cli", "merge", *sources, "-o", str(joined))
    assert done.returncode == 0, done.stderr
    assert len(read(joined / "records.jsonl")) == len(finished.records())


def test_edited_record_is_refused_by_collect_and_made_again_by_run(finished):
    name = next(name for name in finished.records() if "/siren-bithead" in name)
    path = finished.folder / name
    flops = json.loads(path.read_text())["flops"]
    path.write_text(path.read_text().replace('"flops": ', '"flops": 1'))
    plain = ("-m", "snakemake", "--configfile", "config/smoke.yaml", "--cores", "1")
    done = finished.python(*plain, "--forcerun", "collect", "--until", "collect")
    output = done.stdout + done.stderr
    assert done.returncode != 0 and "was changed after it was written" in output
    assert "Traceback" not in output
    code, output = finished.run()
    assert code == 0, output
    assert f"damaged: {name}: " in output and "fitted again" in output
    assert json.loads(path.read_text())["flops"] == flops


def test_editing_one_network_reruns_exactly_its_fits(finished):
    before = finished.records()
    finished.replace("lossless_inr/networks/wire.py", "omega=20.0", "omega=20.0 ")
    code, output = finished.run("--until", "fit")
    assert code == 0, output
    changed = {name for name, written in finished.records().items() if before[name] != written}
    assert changed == {name for name in before if "/wire-" in name}
    assert changed


def test_the_documentation_of_a_new_network_does_what_it_says(finished):
    text = (ROOT / "docs/add_a_baseline.md").read_text(encoding="utf-8")
    section = text.split("\n## ")[1]
    commands = re.findall(r"```bash\n(.*?)```", section, flags=re.S)
    assert section.startswith("A network") and len(commands) == 4
    before, told = finished.records(), []
    try:
        for command in commands:
            done = subprocess.run(
                ["bash", "-ec", command],
                cwd=finished.folder,
                env=finished.environment | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
                capture_output=True,
                text=True,
                timeout=400,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            told.append(done.stdout)
        assert "Report: reports/smoke/report.html" in told[2]
        assert "Triangle" in told[3]
        # Every spec that says all fits it, and what was finished stays.
        new = set(finished.records()) - set(before)
        assert len(new) == 1 and "/triangle-direct-published" in next(iter(new))
        assert all(finished.records()[name] == written for name, written in before.items())
        report = (finished.folder / "reports/smoke/report.html").read_text(encoding="utf-8")
        assert "Triangle" in report
    finally:
        (finished.folder / "lossless_inr/networks/triangle.py").unlink()
