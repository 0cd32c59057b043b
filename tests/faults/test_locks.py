"""Two workflows in one folder, and the locks that killed ones leave."""

import subprocess
import sys
import time

import pytest
from disturbed import CONFIGFILE, PATIENCE, check_same, jobs_of, kill_all, wait_for


@pytest.mark.faults
@pytest.mark.parametrize("seed", [*"01"])
def test_two_workflows_in_one_folder(project, undisturbed, chance, counts, seed):
    one = project.start()
    if seed != "0":  # else at the same moment
        time.sleep(chance.uniform(0, 0.5) * undisturbed.seconds)
    two = project.start()
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in (one, two)]
    codes = sorted(process.returncode for process in (one, two))
    assert codes == [0, 2], outputs
    refused = outputs[0] if one.returncode else outputs[1]
    assert "already works in this folder; wait for it" in refused
    assert len(refused.strip().splitlines()) == 1
    check_same(project, undisturbed.outcome)
    counts["two workflows in one folder"] += 1


def test_locks_of_a_killed_run_are_removed_by_unlock_which_says_so(project, counts):
    process = project.start()
    assert wait_for(lambda: jobs_of(process, "prepare") or jobs_of(process, "fit"), process)
    unlock = ["-m", "lossless_inr.cli", "unlock"]
    done = project.python(*unlock)
    assert done.returncode == 2 and "nothing is unlocked" in done.stderr
    locks = sorted((project.folder / ".snakemake/locks").glob("*"))
    assert locks
    kill_all(process)
    plain = ["-m", "snakemake", "--configfile", CONFIGFILE, "--until", "prepare"]
    done = project.python(*plain)
    assert done.returncode != 0 and "unlock" in done.stderr
    done = project.python(*unlock)
    assert done.returncode == 0, done.stderr
    names = [f"removed {path.relative_to(project.folder)}, left by a killed run" for path in locks]
    assert done.stdout.splitlines() == names
    done = project.python(*unlock)
    assert (done.returncode, done.stdout) == (0, "nothing is locked\n")
    done = project.python(*plain)
    assert done.returncode == 0, done.stderr
    counts["stale lock"] += 1


def test_a_lock_that_another_process_holds_is_named_and_left(project, counts):
    folder = project.folder / "results/smoke/records/mine/8x8/picture/x/seed0"
    folder.mkdir(parents=True)
    holder = "import sys; from filelock import FileLock\n"
    holder += "with FileLock(sys.argv[1]): print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, folder / ".lock"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/",
    ) as process:  # fmt: skip
        process.stdout.readline()
        done = project.python("-m", "lossless_inr.cli", "unlock")
        process.communicate(b"\n")
    assert done.returncode == 0
    assert done.stdout.startswith(f"{folder.relative_to(project.folder)} is being written")
    counts["stale lock"] += 1
