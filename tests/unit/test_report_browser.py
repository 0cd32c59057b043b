"""The report's own script, in a browser: pages, drawers, the way back, tables, colours."""

import json
import re
import shutil
import subprocess

import pytest
from bs4 import BeautifulSoup
from made import Scale

from lossless_inr.report.build import build

pytestmark = pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")

# What a column holds, in the order that it is to be sorted into, smallest first.
SORTED = {
    "number": ["−3.5", "0", "1.2e-05", "0.94", "52.82", "6,000", "∞", "–"],
    "budget": ["790 ± 109 (median 781)", "1,204 (5 of 6)", "> 6,000 (0 of 2)", "∞", "not run"],
    "flops": ["512 FLOP", "6.29 MFLOP", "> 6.29 MFLOP (0 of 2)", "1.3 GFLOP", "≥ 2 TFLOP", "–"],
    "share": ["0 of 3", "1 of 2", "2 of 3", "9 of 9"],
    "ratio": ["5.5×", "≥ 62×", "188.0×"],
    "text": ["digits of 2 bits", "digits of 10 bits", "FINER", "SIREN", ""],
}
SCRIPT = """
addEventListener("load", async () => {
  const later = () => new Promise((done) => setTimeout(done, 60));
  const current = () => [...document.querySelectorAll(".page.current")].map((p) => p.id).join();
  const out = { first: current(), sorted: {} };
  for (const table of document.querySelectorAll("table.probe")) {
    const read = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
    const head = table.tHead.rows[0].cells[0];
    head.querySelector("button").click();
    const up = read();
    const mark = head.getAttribute("aria-sort");
    head.querySelector("button").click();
    out.sorted[table.dataset.name] = [up, mark, read(), head.getAttribute("aria-sort")];
  }
  const filter = document.querySelector("#cells input[type=search]");
  filter.value = "SSIM kodak";
  filter.dispatchEvent(new Event("input"));
  const rows = [...document.querySelectorAll("#cells tbody tr")].filter((row) => !row.hidden);
  out.rows = rows.map((row) => [row.cells[1].textContent, row.cells[3].textContent].join());
  out.count = document.querySelector("#cells .tools span").textContent;
  let saved = null;
  URL.createObjectURL = (blob) => { saved = blob; return "#overview"; };
  HTMLAnchorElement.prototype.click = function () { out.file = this.download; };
  document.querySelector("#table1 .tools button").click();
  out.csv = await saved.text();
  location.hash = "#claims";
  await later();
  out.claims = current();
  const link = document.querySelector('#claims a[href^="#fit-"]');
  link.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
  await later();
  const drawer = document.getElementById(link.hash.slice(1));
  out.drawer = [current(), drawer.open, Math.round(drawer.getBoundingClientRect().top)];
  history.back();
  await later();
  out.back = current();
  location.hash = "#no-such-page";
  await later();
  out.unknown = current();
  document.querySelector('[data-choice="dark"]').click();
  const ground = () => getComputedStyle(document.body).backgroundColor;
  out.dark = [document.documentElement.dataset.theme, ground()];
  document.querySelector('[data-choice="light"]').click();
  out.light = ground();
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(out);
  document.body.append(result);
});
"""


def dump(address: str, tmp_path) -> str:
    done = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", address),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    scale = Scale(tmp_path_factory.mktemp("browser"))
    output = scale.results.parent / "report.html"
    build(output=output, **scale.arguments)
    return output


def test_an_address_with_a_fit_opens_its_drawer(report, tmp_path):
    text = report.read_text(encoding="utf-8")
    name = re.findall(r'<details id="(fit-\w+)"', text)[3]
    page = BeautifulSoup(dump(f"{report.as_uri()}#{name}", tmp_path), "html.parser")
    assert [one["id"] for one in page.select(".page.current")] == ["fits"]
    assert [one["id"] for one in page.select("#fits > details[open]")] == [name]
    assert page.select_one('nav a[aria-current="page"]').text == "Every fit"


@pytest.fixture(scope="module")
def seen(report, tmp_path_factory):
    """What a script of the test saw; the report itself would not let it run."""
    text = report.read_text(encoding="utf-8")
    tables = ""
    for name, values in SORTED.items():
        mixed = values[1::2] + values[::2]
        rows = "".join(f"<tr><td>{value}</td></tr>" for value in mixed)
        tables += (
            f'<div class="scroll"><table class="probe" data-name="{name}"><thead><tr><th>Column'
            f"</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )
    text = re.sub(r'<meta http-equiv="Content-Security-Policy".*', "", text, count=1)
    text = text.replace("</main>", f"{tables}</main>")
    text = text.replace("</body>", f"<script>{SCRIPT}</script></body>")
    folder = tmp_path_factory.mktemp("seen")
    (folder / "page.html").write_text(text, encoding="utf-8")
    page = BeautifulSoup(dump((folder / "page.html").as_uri(), folder), "html.parser")
    return json.loads(page.find(id="result").text)


@pytest.mark.parametrize("name", SORTED)
def test_columns_sort_by_what_they_mean(seen, name):
    up, first, down, second = seen["sorted"][name]
    assert up == SORTED[name]
    assert (first, second) == ("ascending", "descending")
    # What is missing stays last.
    missing = [v for v in SORTED[name] if v in ("–", "not run", "")]
    assert down == [v for v in reversed(SORTED[name]) if v not in missing] + missing


def test_pages_follow_the_address_and_the_way_back(seen):
    assert seen["first"] == "overview"
    assert seen["claims"] == "claims"
    page, opened, top = seen["drawer"]
    assert (page, opened) == ("fits", True)
    assert 0 <= top < 400  # below the bar, on the screen
    assert seen["back"] == "claims"
    assert seen["unknown"] == "overview"


def test_rows_are_filtered_by_every_word(seen):
    assert set(seen["rows"]) == {"kodak,ssim"}
    assert re.fullmatch(rf"{len(seen['rows'])} of \d+ rows", seen["count"])


def test_colours_are_chosen(seen):
    assert seen["dark"] == ["dark", "rgb(20, 24, 28)"]
    assert seen["light"] == "rgb(255, 255, 255)"


def test_a_table_is_saved_with_printed_values_in_columns_of_their_own(seen):
    assert seen["file"].startswith("tiny-table1-kodak")
    head, first, *_ = seen["csv"].removeprefix("\ufeff").splitlines()
    assert head.startswith('Method,"Method, as printed",Budget')
    assert '"Iterations to lossless, as printed"' in head and '"PSNR (dB), as printed"' in head
    assert first.startswith('"SIREN + bit planes, published",printed,"1,580"')
    assert "790 ± 109" in first
