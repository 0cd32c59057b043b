"""Table 5 at its smallest through the real workflow: plan, fits, low planes, page, archive."""

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from harness import Project

RUN = """\
scale: smoke
only: [table5]
fit: {device: cpu, shards: 1}
"""
WHOLE = {"skimage16/16x16/chelsea", "skimage16/16x16/motorcycle_left"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("run") / "project")
    project.write("config/smoke.yaml", RUN)
    code, output = project.run()
    assert code == 0, output
    assert "Traceback" not in output
    return project


def test_scores_are_of_whole_images_that_were_prepared_for_them(finished):
    scores = pd.read_parquet(finished.folder / "results/smoke/expansion/scores.parquet")
    assert set(scores.signal) == WHOLE
    assert set(scores.expansion) == {"8to16", "8to12", "8to10", "10to16"}
    fits = pd.read_parquet(finished.folder / "results/smoke/fits.parquet")
    assert set(scores.spec_digest.dropna()) == set(fits.spec_digest)
    assert np.isfinite(scores.psnr).all() and scores.ssim.between(0, 1).all()
    for name in WHOLE:
        with np.load(finished.folder / f"data/prepared/{name}.npz") as archive:
            whole = archive["samples"]
        truth = whole.astype(np.int64)
        error = int((((truth >> 8 << 8) - truth) ** 2).sum())
        row = scores.query("signal == @name and expansion == '8to16' and method == 'zero_padding'")
        assert row.squared_error.item() == error


def test_the_report_has_the_page_and_its_link(finished):
    page = BeautifulSoup((finished.folder / "reports/smoke/report.html").read_text(), "html.parser")
    assert page.select_one("nav a[href='#expansion']")
    section = page.find(id="expansion")
    assert [h.text for h in section.select("h3")][1:] == [
        "8 to 16 bits, 2 images",
        "8 to 12 bits, 2 images",
        "8 to 10 bits, 2 images",
        "10 to 16 bits, 1 images",
    ]
    assert "ABCD, supervised" in section.text
    table = pd.read_csv(finished.folder / "results/smoke/expansion/table5.csv")
    rows = section.select("table[data-name=expansion-8to16] tbody tr:not(.quoted)")
    assert len(rows) == (table.expansion == "8to16").sum()


def test_an_archive_makes_the_same_page_again(finished):
    cli = ("-m", "lossless_inr.cli")
    options = ("--scale", "smoke", "-o", "a.zip", "--configfile", "config/smoke.yaml")
    done = finished.python(*cli, "export", *options)
    assert done.returncode == 0, done.stderr
    done = finished.python(*cli, "report", "--from", "a.zip", "-o", "again.html")
    assert done.returncode == 0, done.stderr
    pages = [
        BeautifulSoup((finished.folder / name).read_text(), "html.parser").find(id="expansion")
        for name in ("again.html", "reports/smoke/report.html")
    ]
    assert pages[0].text == pages[1].text


def test_nothing_is_left_to_do(finished):
    code, output = finished.run("-n")
    assert code == 0 and "Nothing to be done" in output


def test_a_bit_head_is_refused_before_anything_runs(tmp_path):
    project = Project(tmp_path / "project")
    project.write("config/smoke.yaml", RUN)
    project.replace(
        "config/experiments/table5.yaml",
        "direct, recipe: tuned, iterations: 4, network_parameters: {omega_first: 3.0}",
        "bithead, recipe: fast, iterations: 4",
    )
    code, output = project.run()
    assert code != 0 and not project.records()
    assert "the bit head has no bit axis" in output and "Traceback" not in output
