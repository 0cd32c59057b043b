"""Building the compiled pass, doing without it, and the calibration of slices."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from tiny import ROOT, begin, noise_signal, run, spec_of

from lossless_inr.engine import compiled, slicing
from lossless_inr.engine.loop import make_pass
from lossless_inr.engine.passes import Batch
from lossless_inr.engine.state import State

CPU = torch.device("cpu")
FIT = """
import sys
sys.path.insert(0, "tests/unit")
from tiny import noise_signal, run, spec_of
signal = noise_signal()
outcome = run(signal, spec_of(signal))
print(outcome.engine, outcome.status)
"""
needs_compiler = pytest.mark.skipif(
    compiled.library() is None, reason="the compiled pass needs a C++ compiler"
)


@pytest.fixture
def fresh_library(tmp_path, monkeypatch):
    """Nothing is built or loaded yet in this process, and the cache is an empty folder."""
    for name in ("CXX", "LOSSLESS_INR_COMPILED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOSSLESS_INR_CACHE", str(tmp_path / "cache"))
    compiled.library.cache_clear()
    yield tmp_path / "cache"
    compiled.library.cache_clear()


def fits_by_pytorch(caplog):
    """What two fits say that have no compiled pass."""
    signal = noise_signal()
    for seed in range(2):
        outcome = run(signal, spec_of(signal, seed=seed))
        assert (outcome.engine, outcome.status) == ("layerwise", "lossless")
    assert compiled.library() is None
    return [record.getMessage() for record in caplog.records]


def test_without_a_compiler_fits_use_pytorch_and_one_line_says_so(
    fresh_library, monkeypatch, caplog, tmp_path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    (line,) = fits_by_pytorch(caplog)
    assert "no C++ compiler" in line and "fits use PyTorch" in line
    assert not fresh_library.exists()


def test_a_compiler_that_is_not_there_is_no_compiler(fresh_library, monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    (line,) = fits_by_pytorch(caplog)
    assert "no-such-compiler" in line and "fits use PyTorch" in line and "\n" not in line


def test_a_compiler_that_fails_is_no_compiler(fresh_library, monkeypatch, caplog, tmp_path):
    script = tmp_path / "c++"
    script.write_text("#!/bin/sh\n[ $1 = --version ] && exit 0\necho 'no AVX today' >&2; exit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    (line,) = fits_by_pytorch(caplog)
    assert "no AVX today" in line and "fits use PyTorch" in line and "\n" not in line
    assert not list(fresh_library.glob("*.so"))


def test_a_cache_that_cannot_be_written_is_no_compiler(
    fresh_library, monkeypatch, caplog, tmp_path
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOSSLESS_INR_CACHE", str(tmp_path / "file/cache"))
    (line,) = fits_by_pytorch(caplog)
    assert "file/cache" in line and "fits use PyTorch" in line


def test_it_can_be_switched_off(fresh_library, monkeypatch, caplog):
    monkeypatch.setenv("LOSSLESS_INR_COMPILED", "0")
    assert fits_by_pytorch(caplog) == []
    assert not fresh_library.exists()


def in_process(cache):
    """A fit in a process of its own, with a cache of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", FIT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"LOSSLESS_INR_CACHE": str(cache)},
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A cache into which two processes at once have built, and what they said."""
    cache = tmp_path_factory.mktemp("cache")
    both = [in_process(cache) for _ in range(2)]
    return cache, [process.communicate() for process in both]


@needs_compiler
def test_two_processes_at_once_build_it_once_and_both_use_it(built):
    cache, said = built
    for out, warnings in said:
        assert out.split() == ["compiled", "lossless"] and warnings == ""
    assert len(list(cache.glob("sine_network-*.so"))) == 1
    assert not list(cache.glob("*.partial"))


@needs_compiler
def test_a_damaged_library_is_named_and_built_again(built, tmp_path):
    shutil.copytree(built[0], tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("sine_network-*.so")
    whole = path.read_bytes()
    # Cut short it can still be loaded, and ends the process at the first page that is missing.
    path.write_bytes(whole[: len(whole) // 2])
    process = in_process(tmp_path / "cache")
    out, warnings = process.communicate()
    assert process.returncode == 0
    assert out.split() == ["compiled", "lossless"]
    assert warnings.count("\n") == 1 and str(path) in warnings and "built again" in warnings
    assert len(path.read_bytes()) == len(whole)


# --- slices ---------------------------------------------------------------------------------


def trial(rows, kind="layerwise"):
    signal = noise_signal((rows, 1))
    form, network = begin(signal, spec_of(signal), kind)
    batch, state = Batch(form, [signal.samples], CPU), State([network], spec_of(signal).settings)
    return make_pass([network], batch, state, compiled=kind == "compiled")


def test_slices_are_measured_once_and_taken_from_the_cache_after_that(tmp_path, monkeypatch):
    cache = tmp_path / "deep/slices.json"
    found = slicing.chosen(trial(5000), "float32", cache)
    assert found in (1024, 2048, 4096)
    (key,) = json.loads(cache.read_text())
    cache.write_text(json.dumps({key: 2048}))
    monkeypatch.setattr(slicing, "_measure", lambda *_: pytest.fail("measured again"))
    assert slicing.chosen(trial(5000), "float32", cache) == 2048


def test_another_network_or_precision_is_measured_on_its_own(tmp_path):
    cache = tmp_path / "slices.json"
    slicing.chosen(trial(5000), "float32", cache)
    slicing.chosen(trial(5000), "bfloat16", cache)
    slicing.chosen(trial(5000, "autograd"), "float32", cache)
    assert len(json.loads(cache.read_text())) == 3


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}'])
def test_a_damaged_calibration_is_named_and_measured_again(tmp_path, caplog, content):
    cache = tmp_path / "slices.json"
    cache.write_text(content)
    found = slicing.chosen(trial(5000), "float32", cache)
    assert found in json.loads(cache.read_text()).values()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == (content != '{"a": 1}')
    assert all(str(cache) in line and "measured again" in line for line in lines)


def test_a_cached_size_that_would_not_fit_is_not_taken(tmp_path):
    cache = tmp_path / "slices.json"
    slicing.chosen(trial(5000), "float32", cache)
    (key,) = json.loads(cache.read_text())
    cache.write_text(json.dumps({key: 10**9}))
    assert slicing.chosen(trial(5000), "float32", cache) <= 5000


def test_a_calibration_that_cannot_be_kept_costs_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    found = slicing.chosen(trial(5000), "float32", tmp_path / "file/slices.json")
    assert found in (1024, 2048, 4096)
    assert any("cannot keep" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("rows", [1, 30, 1023])
def test_a_signal_below_the_smallest_slice_is_one_slice(tmp_path, rows):
    assert slicing.chosen(trial(rows), "float32", tmp_path / "slices.json") == rows
    assert not (tmp_path / "slices.json").exists()


# --- memory ---------------------------------------------------------------------------------

PAPER_SCALE = """
import os, sys, threading, time
import numpy as np, torch
from lossless_inr import registry
from lossless_inr.engine.loop import Loop
from lossless_inr.engine.settings import Settings
from lossless_inr.fitting.fit import peak_memory_mib

torch.set_num_threads(1)
cpu = torch.device("cpu")
samples = np.random.default_rng(0).integers(0, 2**16, (256, 256, 3))
form = registry.load("representation", "bitplane").Form(samples.shape, 16)
network = registry.load("network", "siren").build(
    axes=form.axes, outputs=form.outputs, width=512, hidden_layers=5
)
before = peak_memory_mib(cpu)
compiled = sys.argv[1] == "compiled"
loop = Loop([network], form, [samples], Settings(), iterations=1, device=cpu,
            compiled=compiled, slice_rows=None if compiled else 8192)
threading.Thread(target=loop.run, daemon=True).start()
time.sleep(6)
print(loop.passes.name, peak_memory_mib(cpu) - before, flush=True)
os._exit(0)  # the step goes on for a minute
"""


@pytest.mark.parametrize("kind", [pytest.param("compiled", marks=needs_compiler), "layerwise"])
def test_a_16_bit_step_at_paper_scale_stays_below_2_gib(kind):
    # A whole step takes more than a minute on one core. Buffers are reused from slice to slice,
    # so the first seconds of it hold what the whole step holds. 8192 rows are the largest slice
    # that is ever chosen on a CPU.
    done = subprocess.run(
        [sys.executable, "-c", PAPER_SCALE, kind],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    name, grown = done.stdout.split()
    assert name == kind
    assert 50 < float(grown) < 2048
