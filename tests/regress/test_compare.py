"""Verdicts from numbers alone, and what bad input says."""

import copy
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from lossless_inr.errors import UserError
from lossless_inr.regress import baseline, compare, output
from lossless_inr.regress.command import gate
from lossless_inr.schema import read_yaml


@pytest.fixture(scope="module")
def accepted(root):
    return baseline.load(root / "benchmarks/baseline")


def verdicts(accepted, now):
    base, every, _ = accepted
    return compare.compare(base, now, bands={}, expected=every)


def scaled(accepted, method, factor):
    now = copy.deepcopy(accepted[0])
    for row in now["fits"][method].values():
        row["iterations"] = round(row["iterations"] * factor)
    return now


def test_equal_rows_pass(accepted):
    assert not output.failed(verdicts(accepted, accepted[0]))


@pytest.mark.parametrize("size, fails", [(1e-11, False), (1e-8, True)])
def test_a_trace_holds_to_1e_9(accepted, size, fails):
    now = copy.deepcopy(accepted[0])
    name = next(n for n in now["traces"] if n.endswith("float64"))
    now["traces"][name]["close"]["loss"][-1] *= 1 + size
    failing = [row.name for row in verdicts(accepted, now) if row.failed]
    assert failing == ([name] if fails else [])


@pytest.mark.parametrize("factor, verdict", [(1.3, "worse"), (1.05, "same"), (0.7, "better")])
def test_a_method_is_judged_by_its_band(accepted, factor, verdict):
    method = "fit siren bitplane fast"
    rows = verdicts(accepted, scaled(accepted, method, factor))
    assert [row.verdict for row in rows if row.name == method] == [verdict]
    assert output.failed(rows) == (verdict == "worse")


def test_a_row_that_is_gone_fails_and_a_new_one_does_not(accepted):
    now = copy.deepcopy(accepted[0])
    name = next(iter(now["traces"]))
    now["traces"]["trace new"] = now["traces"].pop(name)
    found = {row.name: row for row in verdicts(accepted, now)}
    assert found[name].verdict == "missing" and found[name].failed
    assert found["trace new"].verdict == "new" and not found["trace new"].failed


def test_reports_say_the_same(accepted):
    rows = verdicts(accepted, scaled(accepted, "fit siren bitplane fast", 1.3))
    suites = ElementTree.fromstring(output.to_junit(rows, 1.0).encode())
    assert sum(int(suite.get("failures")) for suite in suites) == 1
    assert "FAILED" in output.to_markdown(rows, 1.0)


def test_another_schema_is_one_line(accepted, tmp_path):
    (tmp_path / "facts.json").write_text(json.dumps({"schema": 99, "rows": {}}))
    with pytest.raises(UserError, match=r"schema 99, expected 1"):
        baseline.load(tmp_path)


@pytest.mark.parametrize("options", [{"accept": " "}, {"accept": "x", "quick": True}])
def test_accepting_needs_a_reason_and_the_whole(options, tmp_path):
    with pytest.raises(UserError, match="--accept"):
        gate(folder=tmp_path, report=tmp_path, **options)


def test_the_workflow_reads_only_and_pins_its_actions(root):
    path: Path = root / ".github/workflows/ci.yml"
    jobs = read_yaml(path)
    assert jobs["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in jobs["on"]
    used = [s["uses"] for job in jobs["jobs"].values() for s in job["steps"] if "uses" in s]
    assert used and all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in used)
