"""Ten times the fits are ten times the work: counted in calls and opened files, not in seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own, as a hook that counts files cannot be taken off.
COUNT = """
import cProfile, json, os, pstats, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from made import signals, spec, write_fit
from lossless_inr.analysis.statistics import performance_profile
from lossless_inr.experiments.shards import spread
from lossless_inr.experiments.spec import FitConfig
from lossless_inr.experiments.tables import collect, fits_table, summary_table
from lossless_inr.fitting import packs
from lossless_inr.report.curves import Curves
from lossless_inr.report.headline import summarise
from lossless_inr.report.statistics_page import statistics
from dataclasses import replace

# Counted are calls and files; a disk's own time to write through is not.
os.fsync = lambda _: None
number, root = {number}, Path({root!r})
results, prepared = root / "results/tiny", root / "prepared"
first = next(iter(signals().values()))
specs, stamp = [], []
for k in range(number // 2):
    one = replace(first, name=f"set/8x8/s{{k}}")
    one.save(prepared / f"{{one.name}}.npz")
    for form, recipe in (("bitplane", "published"), ("bithead", "fast")):
        fit = spec(one, representation=form, recipe=recipe)
        entry = write_fit(fit, one, results, 20)
        digest = entry["verdict"]["record_digest"]
        stamp.append(entry | {{"status": "lossless", "record_digest": digest}})
        specs.append(fit)

opened = 0
def count(event, arguments):
    global opened
    opened += event == "open"
sys.addaudithook(count)
found = {{}}
def stage(name, action):
    global opened
    opened, profile = 0, cProfile.Profile()
    value = profile.runcall(action)
    found[name] = {{"calls": pstats.Stats(profile).total_calls, "files": opened}}
    return value

size = 20
def verify():
    for k in range(0, number, size):
        part = stamp[k : k + size]
        name = packs.write(results, f"shard{{k}}", part)
        packs.clear(results, part)
        for entry in part:
            entry["pack"] = name
stage("pack", verify)
stage("shards", lambda: spread(specs, FitConfig(shards=number // size), "paper"))
def gathered():
    entries = packs.located(results, stamp)
    table = collect(entries, results, prepared)
    used = list(table.pack.unique())
    packs.gather(results, used, set(table.spec_digest), results / "curves.parquet", {{}})
    packs.sweep(results, used)
    return table
fits = stage("collect", gathered)
table = stage("table", lambda: fits_table(fits, list(fits.spec_digest)))
stage("summary", lambda: summary_table(table))
stage("profile", lambda: performance_profile(fits))
curves = Curves(results)
stage("statistics", lambda: statistics(fits, curves))
stage("headline", lambda: summarise(fits))
print(json.dumps(found))
"""
SMALL, LARGE = 200, 2_000
# What is done once makes a small table dearer per fit; more than this is growth.
MOST = 1.1


@pytest.fixture(scope="module")
def counts(tmp_path_factory) -> dict[int, dict]:
    found = {}
    for number in (SMALL, LARGE):
        root = str(tmp_path_factory.mktemp(f"of{number}"))
        script = COUNT.format(tests=str(Path(__file__).parent), number=number, root=root)
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        found[number] = json.loads(done.stdout.splitlines()[-1])
    return found


STAGES = ["pack", "shards", "collect", "table", "summary", "profile", "statistics", "headline"]


@pytest.mark.parametrize("stage", STAGES)
def test_calls_per_fit_do_not_grow(counts, stage):
    per_fit = {n: counts[n][stage]["calls"] / n for n in counts}
    assert per_fit[LARGE] <= MOST * per_fit[SMALL], per_fit


def test_files_opened_per_fit_do_not_grow(counts):
    for stage in STAGES:
        assert counts[LARGE][stage]["files"] <= 10 * counts[SMALL][stage]["files"] + 20, stage


def test_what_reads_tables_opens_no_file_of_a_fit(counts):
    for stage in ("shards", "table", "summary", "profile", "statistics", "headline"):
        assert counts[LARGE][stage]["files"] < 30, counts[LARGE][stage]
