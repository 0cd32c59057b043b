"""A fit that was stopped or killed goes on as if nothing had happened."""

import json
import os
import re
import signal as signals
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import (
    CPU,
    PASSES,
    QUICK,
    ROOT,
    noise_signal,
    poisoned,
    run,
    same_tensors,
    spec_of,
)

from lossless_inr.engine.checkpoint import Checkpoint
from lossless_inr.engine.loop import OutOfTime
from lossless_inr.engine.settings import Settings
from lossless_inr.fitting.fit import Resources, run_fit
from lossless_inr.fitting.record import Record

every_kind = pytest.mark.parametrize("kind", PASSES)
# Large enough for SSIM; the published rate is far from lossless after 90 updates.
IMAGE = noise_signal((12, 12, 1))
LONG = spec_of(IMAGE, settings=Settings(), iterations=90)
SHORT = spec_of(IMAGE, width=48, iterations=120)


def stop_after(looks):
    """Says at the given look that time is up."""
    left = iter(range(looks, 0, -1))
    return lambda: next(left) == 1


def facts_of(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["facts"])


def assert_same(resumed, whole):
    for key in ("status", "iterations", "flops", "rows_seen", "ssim", "best_iteration", "margin"):
        assert getattr(resumed, key) == getattr(whole, key), key
    assert resumed.margin_iterations == whole.margin_iterations
    for key in ("loss", "squared_error", "wrong_bits"):
        assert getattr(resumed.curve, key) == getattr(whole.curve, key), key
    assert len(resumed.curve.seconds) == len(whole.curve.seconds)
    assert same_tensors(resumed.state, whole.state)
    np.testing.assert_array_equal(resumed.decoded, whole.decoded)
    np.testing.assert_array_equal(resumed.best_decoded, whole.best_decoded)


def in_parts(path, spec, kind, looks, **options):
    """Outcome of a fit that is stopped after each of these numbers of looks, and its seconds."""
    seconds = []
    for number in looks:
        with pytest.raises(OutOfTime):
            checkpoint = Checkpoint(path, "this fit")
            run(IMAGE, spec, kind, checkpoint=checkpoint, stop=stop_after(number), **options)
        seconds.append(facts_of(path)["member_seconds"][0])
    outcome = run(IMAGE, spec, kind, checkpoint=Checkpoint(path, "this fit"), **options)
    return outcome, seconds


# --- stopped ------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("look_every", [1, 7])
# Before the first copy of the weights at iteration 50, after it, and several times.
@pytest.mark.parametrize("share", [(0.2,), (0.8,), (0.1, 0.3, 0.2)])
def test_a_stopped_fit_goes_on_to_the_same_outcome_bit_for_bit(tmp_path, kind, look_every, share):
    looked = []
    whole = run(
        IMAGE, LONG, kind, look_every=look_every, progress=lambda *look: looked.append(look)
    )
    assert whole.status == "budget_exhausted" and len(whole.ssim) > 5
    looks = [max(1, int(part * len(looked))) for part in share]
    resumed, seconds = in_parts(tmp_path / "state", LONG, kind, looks, look_every=look_every)
    assert_same(resumed, whole)
    assert seconds == sorted(seconds)
    assert resumed.seconds >= resumed.curve.seconds[-1] >= seconds[-1] > 0
    assert resumed.curve.seconds == sorted(resumed.curve.seconds)


@every_kind
@pytest.mark.parametrize("look_every", [1, 7])
def test_a_stopped_fit_finds_its_zero_where_it_would_have_been(tmp_path, kind, look_every):
    whole = run(IMAGE, SHORT, kind, look_every=look_every)
    assert whole.status == "lossless" and whole.iterations > 8
    resumed, _ = in_parts(tmp_path / "state", SHORT, kind, [2, 2], look_every=look_every)
    assert_same(resumed, whole)


@every_kind
def test_a_fit_that_is_stopped_between_its_zero_and_its_margin_goes_on_to_the_margin(
    tmp_path, kind
):
    zero = run(IMAGE, SHORT, kind)
    settings = QUICK.model_copy(update={"margin": 20 * zero.margin})
    spec = SHORT.model_copy(update={"settings": settings})
    whole = run(IMAGE, spec, kind)
    assert whole.margin_iterations > whole.iterations + 3
    resumed, _ = in_parts(tmp_path / "state", spec, kind, [zero.iterations + 2])
    assert_same(resumed, whole)


@pytest.mark.parametrize("look_every", [1, 4])
def test_a_stopped_fit_in_bfloat16_goes_on_to_the_same_outcome(tmp_path, look_every):
    settings = QUICK.model_copy(update={"precision": "bfloat16"})
    spec = SHORT.model_copy(update={"settings": settings, "hidden_layers": 2})
    whole = run(IMAGE, spec, "layerwise", look_every=look_every)
    assert whole.status == "lossless"
    resumed, _ = in_parts(tmp_path / "state", spec, "layerwise", [3], look_every=look_every)
    assert_same(resumed, whole)


@every_kind
# Stopped before and after the first copy of the weights; NaN before, and after, the second.
@pytest.mark.parametrize(("stop", "after"), [(10, 30), (60, 75)])
def test_a_stopped_fit_that_runs_off_later_is_diverged_with_the_same_weights(
    tmp_path, kind, stop, after
):
    def fit(checkpoint, stop):
        *_, outcome = poisoned(IMAGE, LONG, kind, after, checkpoint=checkpoint, stop=stop)
        return outcome

    whole = fit(None, lambda: False)
    assert (whole.status, whole.iterations) == ("diverged", after + 1)
    with pytest.raises(OutOfTime):
        fit(Checkpoint(tmp_path / "state", "this fit"), stop_after(stop))
    resumed = fit(Checkpoint(tmp_path / "state", "this fit"), lambda: False)
    assert (resumed.status, resumed.iterations) == ("diverged", after + 1)
    assert resumed.curve.loss == whole.curve.loss
    assert same_tensors(resumed.state, whole.state)
    np.testing.assert_array_equal(resumed.decoded, whole.decoded)
    np.testing.assert_array_equal(resumed.best_decoded, whole.best_decoded)


@every_kind
def test_slices_of_another_size_resume_as_they_were(tmp_path, kind):
    whole = run(IMAGE, LONG, kind, slice_rows=50)
    with pytest.raises(OutOfTime):
        checkpoint = Checkpoint(tmp_path / "state", "this fit")
        run(IMAGE, LONG, kind, slice_rows=50, checkpoint=checkpoint, stop=stop_after(9))
    checkpoint = Checkpoint(tmp_path / "state", "this fit")
    resumed = run(IMAGE, LONG, kind, checkpoint=checkpoint)
    assert_same(resumed, whole)
    assert resumed.slice_rows == 50


def test_being_out_of_time_without_a_checkpoint_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutOfTime, match="iteration 2"):
        run(IMAGE, LONG, stop=stop_after(3))
    assert not list(tmp_path.iterdir())


def test_a_fit_that_is_done_is_not_stopped_any_more():
    whole = run(IMAGE, LONG, iterations=4)
    looked = []
    outcome = run(IMAGE, LONG, iterations=4, stop=lambda: bool(looked.append(0)))
    # Asked after every look but the last, where there is nothing left to stop.
    assert len(looked) == 4
    assert outcome.status == whole.status == "budget_exhausted"


# --- the file -----------------------------------------------------------------------------


def test_a_state_is_kept_when_it_is_due_and_not_before(tmp_path):
    kept = []

    class Watched(Checkpoint):
        def save(self, tensors, facts):
            kept.append(facts["iteration"])
            super().save(tensors, facts)

    run(IMAGE, LONG, checkpoint=Watched(tmp_path / "never", "x", every=1e9))
    assert kept == [] and not list(tmp_path.iterdir())
    run(IMAGE, LONG, checkpoint=Watched(tmp_path / "always", "x", every=0.0), look_every=30)
    assert [t for t in kept if t not in (1, 2, 3, 6, 10, 18, 32, 56)] == [29, 59, 89]
    assert [path.name for path in tmp_path.iterdir()] == ["always"]


def stopped_state(path, identity="this fit"):
    with pytest.raises(OutOfTime):
        run(IMAGE, LONG, checkpoint=Checkpoint(path, identity), stop=stop_after(60))


DAMAGE = {
    "empty": lambda path, content: path.write_bytes(b""),
    "half": lambda path, content: path.write_bytes(content[: len(content) // 2]),
    "one byte short": lambda path, content: path.write_bytes(content[:-1]),
    "zeros": lambda path, content: path.write_bytes(bytes(len(content))),
    "text": lambda path, content: path.write_text("state"),
    "no metadata": lambda path, content: save_file(load_file(path), path),
    "a bit of a weight": lambda path, content: path.write_bytes(
        content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
    ),
    "a digit of what it counted": lambda path, content: path.write_bytes(
        re.sub(
            rb'(flops\\": \d*)(\d)',
            lambda m: m[1] + b"%d" % ((int(m[2]) + 1) % 10),
            content,
            count=1,
        )
    ),
    "a folder": lambda path, content: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_state_is_named_and_the_fit_begins_again(tmp_path, caplog, damage):
    path = tmp_path / "state.safetensors"
    stopped_state(path)
    damage(path, path.read_bytes())
    outcome = run(IMAGE, LONG, checkpoint=Checkpoint(path, "this fit"))
    assert_same(outcome, run(IMAGE, LONG))
    (line,) = [record.getMessage() for record in caplog.records]
    assert str(path) in line and "damaged" in line and "begins again" in line


def test_the_state_of_another_fit_is_ignored(tmp_path, caplog):
    path = tmp_path / "state.safetensors"
    stopped_state(path, "another fit")
    seen = []
    options = {"progress": lambda iteration, wrong: seen.append(iteration)}
    outcome = run(IMAGE, LONG, checkpoint=Checkpoint(path, "this fit"), **options)
    assert seen[0] == 0
    assert_same(outcome, run(IMAGE, LONG))
    assert not caplog.records


def test_a_resumed_fit_begins_after_the_iteration_it_was_stopped_at(tmp_path):
    path = tmp_path / "state.safetensors"
    stopped_state(path)
    assert facts_of(path)["iteration"] == 59
    seen = []
    run(
        IMAGE,
        LONG,
        checkpoint=Checkpoint(path, "this fit"),
        progress=lambda iteration, wrong: seen.append(iteration),
    )
    assert seen == list(range(60, 91))


def test_a_state_that_was_kept_survives_a_failure_to_write_the_next(tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    stopped_state(path)
    before = path.read_bytes()
    checkpoint = Checkpoint(path, "this fit")

    class Unwritable:
        def detach(self):
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        checkpoint.save({"weights": Unwritable()}, {})
    assert path.read_bytes() == before
    tensors, facts = checkpoint.load(CPU)
    assert facts["iteration"] == 59 and len(tensors["loss"]) == 60
    assert torch.isfinite(tensors["weights"]).all()


def test_a_state_is_removed_with_what_a_killed_save_left_behind(tmp_path):
    path = tmp_path / "state.safetensors"
    stopped_state(path)
    # As a process leaves it that is killed while it writes.
    (tmp_path / f".{path.name}.partial").write_bytes(path.read_bytes()[:100])
    checkpoint = Checkpoint(path, "this fit")
    assert checkpoint.load(CPU)[1]["iteration"] == 59
    checkpoint.remove()
    assert not list(tmp_path.iterdir())
    checkpoint.remove()


# --- killed -------------------------------------------------------------------------------

KILLED = """
import sys
sys.path.insert(0, "tests/unit")
from pathlib import Path
from test_engine_resume import IMAGE, patient
from lossless_inr.engine.checkpoint import Checkpoint
from lossless_inr.fitting.fit import Resources, run_fit
Checkpoint.__init__.__defaults__ = (0.05,)  # seconds between two states
folder, compiled = Path(sys.argv[1]), sys.argv[2] == "1"
run_fit(patient(compiled), IMAGE, folder, Resources(compiled=compiled))
"""


def patient(compiled):
    """A fit of a second or so: long enough to be killed in the middle."""
    iterations = 3000 if compiled else 1000
    return spec_of(IMAGE, settings=Settings(), width=64, iterations=iterations)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_killed_fit_goes_on_to_the_record_of_one_that_was_not(tmp_path, compiled):
    spec = patient(compiled)
    killed, state = tmp_path / "killed", tmp_path / "killed/state.safetensors"
    child = subprocess.Popen([sys.executable, "-c", KILLED, killed, str(int(compiled))], cwd=ROOT)
    try:
        # As soon as there is a state with an update: the fit is then in its first tenth.
        while child.poll() is None and not (state.exists() and facts_of(state)["iteration"]):
            time.sleep(0.01)
    finally:
        os.kill(child.pid, signals.SIGKILL)
        child.wait()
    assert child.returncode == -signals.SIGKILL
    assert not (killed / "record.json").exists()
    facts = facts_of(state)
    assert 0 < facts["iteration"] < spec.iterations

    resources = Resources(compiled=compiled)
    seen = []
    resumed = run_fit(spec, IMAGE, killed, resources, lambda t, wrong: seen.append(t))
    assert seen[0] == facts["iteration"] + 1
    whole = run_fit(spec, IMAGE, tmp_path / "whole", resources)
    # The curve has seconds in it.
    differing = {"timing": True, "provenance": True, "peak_memory_mib": True}
    differing["files"] = {"curve.parquet"}
    assert resumed.model_dump(exclude=differing) == whole.model_dump(exclude=differing)
    assert Record.load(killed / "record.json") == resumed
    one, other = (load_file(f / "weights.safetensors") for f in (killed, tmp_path / "whole"))
    assert same_tensors(one, other)
    curves = [pd.read_parquet(f / "curve.parquet") for f in (killed, tmp_path / "whole")]
    pd.testing.assert_frame_equal(*(curve.drop(columns="seconds") for curve in curves))
    assert resumed.timing.fit >= facts["member_seconds"][0] > 0
    assert not state.exists()
