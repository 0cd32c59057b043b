"""The report of a small scale that was written by hand: what it shows, and that it is inert."""

import base64
import hashlib
import re
import subprocess
import sys

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from made import NASTY, Scale

from lossless_inr.report import labels
from lossless_inr.report.build import build
from lossless_inr.report.findings import answered_cells
from lossless_inr.report.planned import Planned

PAGES = [
    *("overview", "claims", "statistics", "sooner", "table1", "figure9"),
    *("compression", "cells", "bound", "audit", "fits", "guard", "reading"),
]


def report_of(scale, **changes):
    output = scale.results.parent / "report.html"
    build(output=output, **scale.arguments | changes)
    return output


@pytest.fixture(scope="module")
def scale(tmp_path_factory):
    return Scale(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def text(scale):
    return report_of(scale).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return BeautifulSoup(text, "html.parser")


@pytest.fixture(scope="module")
def partial(tmp_path_factory):
    scale = Scale(tmp_path_factory.mktemp("partial"), partial=True)
    return BeautifulSoup(report_of(scale).read_text(encoding="utf-8"), "html.parser")


def test_every_page_is_there_and_in_the_menu(page):
    assert [section["id"] for section in page.select("section.page")] == PAGES
    assert sorted(link["href"] for link in page.select("nav a")) == sorted(f"#{p}" for p in PAGES)


def test_every_link_resolves_and_no_name_is_taken_twice(page):
    names = [tag["id"] for tag in page.find_all(id=True)]
    assert len(set(names)) == len(names)
    for tag in page.find_all(href=True):
        assert tag["href"][1:] in names, tag["href"]


def test_evidence_of_verdicts_opens_drawers(page):
    links = page.select("#claims details a")
    assert links
    for link in links:
        assert page.find(id=link["href"][1:]).name == "details"


def test_claims_and_comparisons_say_what_becomes_of_them_at_equal_compute(page):
    head = [th.text for th in page.select("#overview table")[0].select("th")]
    assert {"At equal compute", "Survives?", "Scale", "Signals (n)"} <= set(head)
    tables = page.select('#statistics table[data-name^="budgets-"]')
    rows = [row for table in tables for row in table.select("tbody tr")]
    assert rows and all(row.select('details a[href^="#fit-"]') for row in rows)
    bits = next(row for row in rows if "bit head" in row.td.text)
    assert "✓ survives" in bits.text
    assert "p (Holm)" not in tables[0].text  # two signals


def test_each_fit_has_a_drawer_with_pictures_and_a_command(page, scale):
    drawers = page.select("#fits > details")
    assert len(drawers) == len(scale.fits)
    for drawer in drawers:
        assert drawer.select("polyline") and drawer.select_one("img.planes")
        sound = "Sound" in drawer.summary.text
        assert len(drawer.select("img")) == (1 if sound else 4)
        assert len(drawer.select("polyline")) == (4 if sound else 1)
        assert drawer.pre.text.startswith(".venv/bin/lossless-inr rerun results/tiny/records/")


def test_a_fit_whose_signal_is_gone_has_no_pictures_but_a_drawer(scale, tmp_path):
    other = BeautifulSoup(report_of(scale, prepared=tmp_path).read_text("utf-8"), "html.parser")
    assert len(other.select("#fits > details")) == len(scale.fits)
    assert not other.select("#fits > details img")


def test_one_script_that_alone_may_run_and_nothing_from_outside(page):
    (script,) = page.find_all("script")
    assert not script.attrs
    digest = base64.b64encode(hashlib.sha256(script.string.encode()).digest()).decode()
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert not page.find_all(["link", "iframe", "object", "embed"])
    for tag in page.find_all(src=True):
        assert tag["src"].startswith("data:image/")


def test_text_of_records_and_figures_is_escaped(text, page):
    assert text.count("<script") == 1 and "<b>processor" not in text and "<i>" not in text
    assert "onerror" not in {name for tag in page.find_all() for name in tag.attrs}
    assert NASTY in page.select_one("#fits > details").text
    assert page.select_one("#figure9 td").text == "<i>"


def test_the_same_files_give_the_same_bytes(scale, text):
    assert report_of(scale).read_text(encoding="utf-8") == text


def test_no_page_needs_a_script_to_be_seen(text):
    # Only rules under .js hide a page, and only the script sets that class.
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    hiding = re.findall(r"[^{};]*\.page[^{};]*\{\s*display: none", style)
    assert hiding and all(".js" in rule for rule in hiding)
    assert "<noscript" not in text


def test_building_imports_no_torch(scale):
    code = "import sys; import lossless_inr.report.build; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pages_of_tables_show_verdicts_cells_and_fits(page):
    table = page.find(id="table1")
    names = {t["data-name"] for t in table.select("table")}
    assert {"table1-cells", "table1-claims", "table1-fits"} <= names
    assert len(table.select('table[data-name="table1-fits"] tbody tr')) == 7
    assert "partial" not in page.select_one("nav").text


def test_a_whole_set_names_what_was_never_begun(page):
    assert "never (0 of 3 fits)" in page.select_one("#overview .notice").text


def test_a_partial_set_says_so_on_every_page(partial):
    assert "7 of 8 fits run" in partial.select_one("#overview .notice").text
    assert "6 of 7 fits run" in partial.select_one("#table1 .notice").text
    assert not partial.select("#figure9 .notice")
    assert "partial" in partial.select_one('nav a[href="#table1"]').text


def test_a_cell_of_which_a_signal_is_missing_is_not_run(partial, page):
    def status(of):
        rows = of.select('#cells table[data-name="published-beside-measured"] tbody tr')
        row = next(r for r in rows if "kodak" in r.text and "bitplane" in r.text)
        return row.text

    assert "other scale" in status(page)
    assert "not run" in status(partial) and "1 of 2 images run" in status(partial)


def test_a_short_fit_does_not_stand_in_for_one_that_is_not_run(partial, page):
    row = partial.select_one("#claim-a")
    assert "1 of 1 fits" in row.text  # not 1 of 2 with the fit of 10 iterations
    assert "2 of 2 fits" in page.select_one("#claim-a").text


def test_a_planned_row_without_a_fit_is_not_run(scale):
    arguments = scale.arguments
    more = dict(arguments["planned_fits"]["table1"][0], network="wire", digest="0" * 64)
    planned = {"table1": [*arguments["planned_fits"]["table1"], more]}
    file = report_of(scale, planned={"table1": 8}, planned_fits=planned)
    table = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser").find(id="table1")
    row = next(r for r in table.select("tr") if "WIRE" in r.text)
    assert "not run" in row.text


def test_a_plan_is_not_needed(scale):
    file = report_of(scale, planned=None, planned_fits=None)
    assert "A partial set" not in file.read_text(encoding="utf-8")


def test_the_report_of_many_fits_stays_small(scale):
    # 7 fits; 15 MB are for some 250 with their figures.
    assert report_of(scale).stat().st_size < 400_000


@pytest.mark.parametrize(
    ("fit", "name"),
    [
        (("siren", "bitplane", "", "published"), "SIREN + bit planes, published"),
        (("siren", "direct", "loss=bce", "decayed"), "SIREN (loss=bce), decayed"),
        (("siren", "digits", "digit_bits=4", "fast"), "SIREN + digits of 4 bits, fast"),
        (("siren", "digits", "", "fast"), "SIREN + digits of 1 bit, fast"),
        (("finer", "bitchannel", "", "fast"), "FINER + bit and channel, fast"),
    ],
)
def test_methods_are_called_as_in_the_figures(fit, name):
    keys = ("network", "representation", "variant", "recipe")
    assert labels.method_name(dict(zip(keys, fit, strict=True))) == name


def test_at_paper_scale_a_part_of_a_set_answers_no_printed_cell(scale):
    arguments = scale.arguments
    table = pd.read_parquet(scale.results / "tables/table1.parquet")
    every = Planned(scale.fits, None, arguments["planned_fits"])
    for name, status in (("tiny", "other scale"), ("paper", "not run")):
        cells = answered_cells(arguments["experiments"], {"table1": table}, name, every)
        ours = [
            row["cell"] for row in cells if row["printed"][:3] == ("table1", "kodak", "bitplane")
        ]
        assert {cell.status for cell in ours} == {status}
    assert {cell.note for cell in ours} == {"2 of 24 images run"}
