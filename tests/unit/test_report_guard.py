"""The report's page of the regression gate, from a baseline's history and its studies."""

import json

import pytest
from bs4 import BeautifulSoup

from lossless_inr.report.build import environment
from lossless_inr.report.guard_page import FILES, guard_page


def entry(day, reason, **mean):
    return {
        "when": f"2026-11-{day}T10:20:30+00:00",
        "reason": reason,
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "changed": [],
        "mean": {f"fit {name}": list(value) for name, value in mean.items()},
    }


@pytest.fixture
def folder(tmp_path):
    entries = [
        entry(20, "first", a=("wrong_bits", 9.0), b=("iterations", 50.0)),
        entry(21, "a is <lossless>", a=("iterations", 40.0), b=("iterations", 55.0)),
        entry(22, "c is new", a=("iterations", 50.0), b=("iterations", 55.0), c=("iterations", 7)),
    ]
    entries[1]["changed"] = ["trace a", "trace b", "fit a", "fit b"]
    content = {
        FILES[0]: "".join(json.dumps(one) + "\n" for one in entries),
        FILES[1]: json.dumps({"methods": {"fit a": {"band": 0.03}}}),
        FILES[2]: "fault,part,rows,first\nrate halved,traces,7,trace a\nnothing,fits,0,none\n",
        FILES[3]: "part,threads,instructions,failed\n"
        "quick,1,best,0\nquick,2,best,0\nquick,2,best,1\nall,1,plain,0\n",
    }
    for name, text in content.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_newest_acceptance_is_first_and_another_metric_is_no_change(folder):
    page = guard_page(folder)
    assert [one["reason"] for one in page["accepted"]] == ["c is new", "a is <lossless>", "first"]
    assert page["columns"] == ["2026-11-20", "2026-11-21", "2026-11-22"]
    a, b, c = page["methods"]
    assert a["means"] == [None, 40.0, 50.0] and a["change"] == pytest.approx(0.25)
    assert a["band"] == 0.03 and b["band"] is None
    assert b["change"] == 0 and c["means"] == [None, None, 7] and c["change"] is None


def test_the_page_counts_faults_caught_and_reruns_passed(folder):
    html = environment().get_template("page_guard.html.j2").render(guard=guard_page(folder))
    text = " ".join(BeautifulSoup(html, "html.parser").get_text().split())
    assert "2 of 3 runs of its quick part (2 settings" in text
    assert "1 of 1 runs of all of it (1 settings" in text
    assert "it failed in 1 of 2 cases" in text
    assert "a is <lossless>" in text and "trace a, trace b, fit a, …" in text


def test_without_studies_the_page_is_of_the_history_alone_and_without_that_there_is_none(folder):
    for name in FILES[1:]:
        (folder / name).unlink()
    html = environment().get_template("page_guard.html.j2").render(guard=guard_page(folder))
    assert "Planted faults" not in html and "runs of" not in html
    assert guard_page(folder / "nowhere") is None
