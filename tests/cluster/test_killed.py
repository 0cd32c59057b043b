"""A run that is killed leaves jobs behind; the next one must not run beside them."""

import os
import signal

import pytest
from comparing import counted_once
from harness import Project
from running import PACE, ClusterRun, results_of

pytestmark = pytest.mark.cluster
PROFILE = ["--workflow-profile", "profiles/slurm-squeue", *PACE]


def test_a_killed_run_goes_on_and_no_shard_runs_twice(project: Project, slurm, count):
    options = {"options": ("--only", "figure9")}
    with ClusterRun(project, slurm, "config/smoke.yaml", *PROFILE, **options) as run:
        run.until(lambda: len(run.running("fit")) == 2, "both shards run", 200)
        os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()
        left = [job["id"] for job in run.running("fit")]
        for job in left:  # they would end by themselves before the next run begins
            slurm.command("scontrol", "suspend", job)
    with ClusterRun(project, slurm, "config/smoke.yaml", *PROFILE, **options) as run:
        assert run.wait(400) == 0, run.tail()
    states = {job["JobId"]: job["JobState"] for job in slurm.ended()}
    assert len(left) == 2 and {states.pop(job) for job in left} == {"CANCELLED"}
    assert set(states.values()) == {"COMPLETED"} and len(states) == 4
    counted_once(results_of(project, "smoke"), 6)
    count("killed: 2 shards left running by a killed run, cancelled by the next; 6 fits")
