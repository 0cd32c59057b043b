"""benchmarks/gpu_batch.sh, as far as it can be tried without a GPU."""

import csv
import io
import os
import re
import subprocess
import sys

import pytest

from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.spec import Config


@pytest.fixture(scope="module")
def gpu_batch(root):
    sys.path.insert(0, str(root / "benchmarks"))
    import gpu_batch

    return gpu_batch


def shell(root, *arguments, **environment):
    return subprocess.run(
        ["bash", "benchmarks/gpu_batch.sh", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=400,
        env=os.environ | {"PYTHON": sys.executable} | environment,
    )


def test_the_dry_run_stops_at_its_limit_and_goes_on_from_there(root):
    done = shell(root, "dry", "1")
    assert done.returncode == 0, done.stderr
    first, second = (line for line in done.stdout.splitlines() if "in the plan" in line)
    assert "stopped in" in first and "stopped in" not in second
    before, after = (int(line.split()[0]) for line in (first, second))
    total = int(re.search(r"(\d+) in the plan", first)[1])
    assert before < total and before + after == total
    assert f"{before} were done" in second
    table = done.stdout[done.stdout.index("signal,bits,method") :]
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == total
    fast = [row for row in rows if "bithead-fast" in row["method"]]
    assert len(fast) == 3
    assert all(row["status"] == "lossless" and row["verified"] == "True" for row in fast)


def test_the_plan_is_made_of_fits_of_the_papers_tables_dearest_questions_first(gpu_batch, root):
    fits = gpu_batch.priorities("paper")
    known = {fit.digest for fit in Plan(Config(scale="paper"), root).all_fits}
    other = {fit.recipe for fit in fits if fit.digest not in known}
    assert other == {"fast-tf32", "fast-bf16"}
    assert len({fit.digest for fit in fits}) == len(fits)
    first = fits[:30]
    assert [fit.recipe for fit in first] == ["fast"] * 24 + ["published"] * 6
    assert {fit.signal.split("/")[0] for fit in first} == {"kodak"}


def test_a_carried_state_comes_back_byte_for_byte(gpu_batch, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_batch, "PART", 1000)
    (tmp_path / "a").mkdir()
    (tmp_path / "out").mkdir()
    state = os.urandom(12_345)  # 13 parts: part 10 must not sort before part 2
    (tmp_path / "a/state.safetensors").write_bytes(state)
    (tmp_path / "out/state-0123456789ab.0").write_bytes(b"of an earlier fit")
    gpu_batch.carry_state(tmp_path / "a", tmp_path / "out", "fedcba9876543210")
    gpu_batch.restore_state(tmp_path / "b", tmp_path / "out", "fedcba9876543210")
    assert (tmp_path / "b/state.safetensors").read_bytes() == state
    gpu_batch.restore_state(tmp_path / "c", tmp_path / "out", "0123456789abcdef")
    assert not (tmp_path / "c").exists()


def test_without_arguments_it_says_how_it_is_used(root):
    done = shell(root)
    assert done.returncode == 2
    assert "gpu_batch.sh prepare MIRROR" in done.stdout


def test_merging_an_empty_folder_is_refused_in_one_line(root, tmp_path):
    command = [sys.executable, "benchmarks/gpu_batch.py", "merge", tmp_path, tmp_path / "reference"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "reference").exists()


def test_a_gpu_that_is_not_there_is_refused_in_one_line(root, tmp_path):
    command = [sys.executable, "benchmarks/gpu_batch.py", "run", "--limit", "5"]
    command += ["--signals", tmp_path, "--out", tmp_path, "--work", tmp_path]
    done = subprocess.run(
        command,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: device: cuda") and done.stderr.count("\n") == 1


def test_the_committed_engine_ladder_fits_its_schema(root):
    sys.path.insert(0, str(root / "benchmarks"))
    import bench_engine

    measured = bench_engine.load(root / "benchmarks/results/engine-cpu.json")
    cases = {row.case for row in measured.rows}
    assert {"32x32-8", "32x32-16", "64x64-8"} <= cases
    for case in cases:
        rows = {row.row: row for row in measured.rows if row.case == case}
        assert {"a", "b", "c", "d", "e", "f"} <= rows.keys()
        for row in rows.values():
            assert row.ratio_b == pytest.approx(rows["b"].seconds / row.seconds)
            # What counts as a result was verified from its saved weights.
            assert row.verified or row.row in ("a", "b", "c-torch") or row.censored
