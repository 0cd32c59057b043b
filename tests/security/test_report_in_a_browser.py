"""The report of records by a stranger, in a real browser: whatever they say, no script runs."""

import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from made import Scale

from lossless_inr.fitting import digests
from lossless_inr.report.build import build

PAYLOADS = (
    "<script>document.documentElement.dataset.pwned='script'</script>",
    "<img src=x onerror=\"document.documentElement.dataset.pwned='onerror'\">",
    '"><svg/onload="document.documentElement.dataset.pwned=\'onload\'">',
    "'><iframe srcdoc='<script>parent.document.documentElement.dataset.pwned=1</script>'>",
    "<a href=\"javascript:document.documentElement.dataset.pwned='href'\" autofocus>x</a>",
    "</style></script></textarea><script>document.documentElement.dataset.pwned='out'</script>",
)
PAYLOAD = "".join(PAYLOADS)
# What the program checks against lists or patterns of its own before a page is made.
CHECKED = {
    *("status", "kind", "signal", "network", "representation", "recipe", "code", "folder"),
    *("spec_digest", "cell", "printed_set", "method", "layout", "published", "digest", "set"),
}
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" onload="parent.document.documentElement.dataset.pwned'
    "='svg'\"><script>parent.document.documentElement.dataset.pwned='svg script'</script></svg>"
)


def poison(value, key=""):
    """Every string in plain data with the payload behind it; keys of free dictionaries too."""
    if isinstance(value, dict):
        return {k: poison(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [poison(v, key) for v in value]
    return value + PAYLOAD if isinstance(value, str) and key not in CHECKED else value


def poison_table(path):
    table = pd.read_parquet(path)
    poisoned = 0
    for name in table.columns:
        if pd.api.types.is_string_dtype(table[name]) and name not in CHECKED:
            table[name] = table[name].fillna("").astype(str) + PAYLOAD
            poisoned += 1
    table.to_parquet(path)
    return poisoned


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of a scale whose every free text is hostile."""
    scale = Scale(tmp_path_factory.mktemp("hostile"))
    assert poison_table(scale.results / "fits.parquet") >= 8
    for path in scale.results.glob("tables/*.parquet"):
        poison_table(path)
    for path in scale.results.glob("records/**/record.json"):
        data = json.loads(path.read_text())
        del data["record_digest"]
        for key in ("provenance", "error", "precision", "engine"):
            data[key] = poison(data[key] or "x")
        data["provenance"][PAYLOAD] = {PAYLOAD: [PAYLOAD]}
        data["record_digest"] = digests.of_json(data)  # a stranger's record is whole, too
        path.write_text(json.dumps(data))
    figures = scale.results / "figures"
    (figures / "figure9.svg").write_text(SVG)
    pd.DataFrame({PAYLOAD: [PAYLOAD, "b"]}).to_csv(figures / "figure9.csv", index=False)
    arguments = scale.arguments
    arguments["experiments"] = poison(arguments["experiments"])
    arguments["planned_fits"] = poison(arguments["planned_fits"])
    arguments["scale"] = f"tiny{PAYLOAD}"
    output = scale.results.parent / "report.html"
    build(output=output, **arguments)
    return output


def test_no_markup_of_the_records_is_markup_of_the_page(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("&lt;script&gt;document.documentElement.dataset.pwned") > 50
    found = BeautifulSoup(text, "html.parser")
    assert len(found.find_all("script")) == 1 and "pwned" not in found.script.text
    assert not found.find_all(["iframe", "object", "embed", "base", "form", "link"])
    for tag in found.find_all(True):
        assert not [name for name in tag.attrs if name.startswith("on")], tag
        for name in ("href", "src", "action"):
            assert re.match(r"#|data:image/", tag.attrs.get(name, "#")), tag
    policy = found.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.parametrize("policy", [True, False])
def test_no_script_runs_in_a_browser(page, tmp_path, policy):
    """Neither with the page's policy nor, so that escaping alone is seen to hold, without it."""
    text = page.read_text(encoding="utf-8")
    if not policy:
        text, removed = re.subn(r'<meta http-equiv="Content-Security-Policy".*', "", text, count=1)
        assert removed
        # It also opens every drawer and follows every link of the page's own.
        text = text.replace(
            "</body>",
            "<script>addEventListener('load', () => {"
            "document.querySelectorAll('details').forEach((d) => { d.open = true; });"
            "document.querySelectorAll('a').forEach((a) => { a.focus(); a.click(); });"
            "document.querySelectorAll('th button').forEach((b) => b.click());"
            "document.documentElement.dataset.probe = 'ran'; });</script></body>",
        )
    target = tmp_path / "page.html"
    target.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom"),
            target.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    root = BeautifulSoup(done.stdout, "html.parser").html
    assert "Every fit" in done.stdout, done.stderr
    assert "data-pwned" not in root.attrs, root.attrs
    assert policy or root["data-probe"] == "ran"
    # A policy that had to stop something would say so here.
    assert "CONSOLE" not in done.stderr, done.stderr


def test_the_payload_runs_where_it_is_not_escaped(tmp_path):
    """The test can fail: the same browser runs each payload of a page that trusts it."""
    if not shutil.which("chromium"):
        pytest.skip("chromium is not installed")
    for number, payload in enumerate(PAYLOADS[:3]):
        target = tmp_path / f"{number}.html"
        target.write_text(f"<!doctype html><html><body>{payload}</body></html>")
        done = subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *(f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000"),
                *("--dump-dom", target.as_uri()),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "data-pwned" in done.stdout, payload
