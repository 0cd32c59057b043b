"""The load test in its short form: fifty copies through the real workflow."""

import re
import subprocess
import sys

from harness import ROOT


def test_a_finished_scale_of_copies_is_planned_collected_and_reported(tmp_path):
    folder = tmp_path / "load"
    done = subprocess.run(
        [sys.executable, "benchmarks/scale.py", "--fits", "50", "--folder", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert "scale-test: passed with 50 fits" in done.stdout
    # Counted by the test itself: the layout is what the README of results says.
    results = folder / "results/miniature"
    names = sorted({p.name for p in (results / "records").rglob("*") if p.is_file()})
    assert names == ["decoded.npz", "record.json", "weights.safetensors"]
    assert len(list((results / "packs").iterdir())) == len(list((results / "shards").iterdir()))
    log = (folder / "load.log").read_text()
    assert "Traceback" not in log
    page = (folder / "reports/miniature/report.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<details id="fit-', page)) == 50


def test_a_number_that_is_no_multiple_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "benchmarks/scale.py", "--fits", "51"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "multiple of 50" in done.stderr
