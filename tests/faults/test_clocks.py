"""Clocks that jump, and files from the past and the future."""

import os
import shutil
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from disturbed import PATIENCE, check_same, kill_all, whole_files

DAY = 86400
pytestmark = pytest.mark.faults


def shift(paths: list[Path], days: float) -> None:
    for path in paths:
        with suppress(FileNotFoundError):  # a run may remove it this moment
            when = path.stat().st_mtime + days * DAY
            os.utime(path, (when, when))


@pytest.mark.parametrize("seed", [*"01"])
def test_files_from_the_past_and_the_future(project, undisturbed, chance, counts, seed):
    process = project.start()
    time.sleep(undisturbed.seconds * chance.uniform(0.3, 0.9))
    if process.poll() is None:
        kill_all(process)
    for path in whole_files(project):
        if chance.random() < 0.5:
            shift([path], chance.uniform(-400, 400))
    project.finish()
    check_same(project, undisturbed.outcome)
    counts["clock: files from the past and the future"] += 1


@pytest.mark.parametrize("days", [80, -80])
def test_a_clock_that_jumps_between_two_runs(project, undisturbed, chance, counts, days):
    """No process sees the jump: it is as if every file were so much older, or newer."""
    process = project.start()
    time.sleep(undisturbed.seconds * chance.uniform(0.4, 0.9))
    kill_all(process)
    shift(whole_files(project), -days)
    project.finish()
    check_same(project, undisturbed.outcome)
    # And once more, over complete results. The seals go by content: nothing to do.
    shift(whole_files(project), -days)
    said = project.finish(1)
    assert "damaged" not in said
    check_same(project, undisturbed.outcome)
    counts["clock: jumped between two runs"] += 1


@pytest.fixture(scope="session")
def clock(tmp_path_factory) -> Path:
    """A library under whose programs the time of day can be set."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("no C compiler, for a clock that can be set")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("days", [3, -3])
def test_a_clock_that_jumps_within_a_run(project, undisturbed, chance, counts, days, clock):
    """From then on, what was written before is older by the jump, or from the future."""
    offset = project.folder.parent / "offset"

    def ahead(days: float) -> None:
        with open(offset, "r+b") as file:  # in place: running programs have mapped it
            file.write(struct.pack("=q", round(days * DAY * 1e9)))

    offset.write_bytes(bytes(8))
    ahead(-days)
    own = project.environment
    project.environment = own | {"LD_PRELOAD": str(clock), "CLOCK_FILE": str(offset)}
    told = project.python("-c", "import time; print(time.time())").stdout
    assert abs(float(told) - time.time() + days * DAY) < 60
    process = project.start()
    time.sleep(undisturbed.seconds * chance.uniform(0.3, 0.8))
    before = whole_files(project)
    ahead(0)
    shift(before, -days)
    output, _ = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in output, output
    project.finish()
    project.environment = own
    check_same(project, undisturbed.outcome)
    counts["clock: jumped within a run"] += 1
