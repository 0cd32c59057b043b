"""Clocks that jump, and files from the past and the future."""

import os
import shutil
import time

import pytest
from disturbed import PATIENCE, check_same, kill_all, whole_files

LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
DAY = 86400
pytestmark = pytest.mark.faults


@pytest.mark.parametrize("seed", [*"01"])
def test_files_from_the_past_and_the_future(project, undisturbed, chance, counts, seed):
    process = project.start()
    time.sleep(undisturbed.seconds * chance.uniform(0.3, 0.9))
    if process.poll() is None:
        kill_all(process)
    for path in whole_files(project):
        if chance.random() < 0.5:
            when = time.time() + chance.uniform(-400, 400) * DAY
            os.utime(path, (when, when))
    project.finish()
    check_same(project, undisturbed.outcome)
    counts["clock: files from the past and the future"] += 1


@pytest.mark.skipif(not os.path.exists(LIBRARY), reason="libfaketime is not installed")
@pytest.mark.parametrize("days", [(40, -40), (-40, 40)])
def test_a_clock_that_jumps_between_two_runs(project, undisturbed, chance, counts, days):
    own = project.environment
    for number, day in enumerate(days):
        project.environment = own | {
            "LD_PRELOAD": LIBRARY, "FAKETIME": f"{day:+}d", "DONT_FAKE_MONOTONIC": "1"
        }  # fmt: skip
        if number == 0:
            process = project.start()
            time.sleep(undisturbed.seconds * chance.uniform(0.4, 0.9))
            kill_all(process)
        else:
            project.finish()
    project.environment = own
    check_same(project, undisturbed.outcome)
    # The seals go by content: nothing to do, whatever the clock says now.
    said = project.finish(1)
    assert "damaged" not in said
    check_same(project, undisturbed.outcome)
    counts["clock: jumped between two runs"] += 1


@pytest.mark.skipif(not os.path.exists(LIBRARY), reason="libfaketime is not installed")
@pytest.mark.parametrize("jump", ["+3d", "-3d"])
def test_a_clock_that_jumps_within_a_run(project, undisturbed, chance, counts, jump, tmp_path):
    clock = tmp_path / "clock"
    clock.write_text("+0d\n")
    own = project.environment
    project.environment = own | {
        "LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    process = project.start()
    time.sleep(undisturbed.seconds * chance.uniform(0.3, 0.8))
    clock.write_text(f"{jump}\n")
    output, _ = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in output, output
    project.finish()
    project.environment = own
    check_same(project, undisturbed.outcome)
    shutil.rmtree(project.folder)
    counts["clock: jumped within a run"] += 1
